// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// Tokens and receivers as bad as the world has them, for the tests.

contract GoodToken {
    mapping(address => uint256) public balanceOf;

    event Transfer(address indexed from, address indexed to, uint256 value);

    function mint(address to, uint256 value) external {
        balanceOf[to] += value;
        emit Transfer(address(0), to, value);
    }

    function transfer(address to, uint256 value) public virtual returns (bool) {
        _move(to, value);
        return true;
    }

    function _move(address to, uint256 value) internal {
        balanceOf[msg.sender] -= value;
        balanceOf[to] += value;
        emit Transfer(msg.sender, to, value);
    }
}

/// Says no without reverting, as old tokens do.
contract FalseToken is GoodToken {
    function transfer(address, uint256) public pure override returns (bool) {
        return false;
    }
}

/// Answers nothing, as USDT on Ethereum does.
contract SilentToken {
    mapping(address => uint256) public balanceOf;

    event Transfer(address indexed from, address indexed to, uint256 value);

    function mint(address to, uint256 value) external {
        balanceOf[to] += value;
    }

    function transfer(address to, uint256 value) external {
        balanceOf[msg.sender] -= value;
        balanceOf[to] += value;
        emit Transfer(msg.sender, to, value);
    }
}

/// Keeps a hundredth of what passes.
contract FeeToken is GoodToken {
    function transfer(address to, uint256 value) public override returns (bool) {
        _move(address(this), value / 100);
        _move(to, value - value / 100);
        return true;
    }
}

/// Burns all gas it is given, as an old `assert` does.
contract HungryToken is GoodToken {
    function transfer(address, uint256) public pure override returns (bool) {
        assembly {
            invalid()
        }
    }
}

/// Burns all gas when asked for a balance.
contract HungryBalanceToken {
    function balanceOf(address) external pure {
        assembly {
            invalid()
        }
    }
}

/// Answers with 300 kB: reading them all would cost the caller more than a sweep may.
contract BombToken is GoodToken {
    function transfer(address, uint256) public pure override returns (bool) {
        assembly {
            revert(0, 300000)
        }
    }
}

/// Answers the question for a balance with 300 kB.
contract BalanceBombToken {
    function balanceOf(address) external pure {
        assembly {
            return(0, 300000)
        }
    }
}

/// Answers a transfer with one byte.
contract StubToken is GoodToken {
    function transfer(address, uint256) public pure override returns (bool) {
        assembly {
            mstore(0, not(0))
            return(0, 1)
        }
    }
}

interface ISweeps {
    function sweep(bytes32[] calldata salts, address[] calldata tokens) external;
}

/// Calls the factory back in the middle of its own transfer.
contract ReentrantToken is GoodToken {
    ISweeps private factory;
    bytes32[] private salts;
    address[] private tokens;

    function aim(ISweeps factory_, bytes32[] calldata salts_, address[] calldata tokens_) external {
        factory = factory_;
        salts = salts_;
        tokens = tokens_;
    }

    function transfer(address to, uint256 value) public override returns (bool) {
        _move(to, value);
        factory.sweep(salts, tokens);
        return true;
    }
}

/// A treasury that takes tokens but no native coin.
contract RefusingTreasury {}

/// Sends native coin with 2,300 gas, as many old contract wallets do.
contract StingyWallet {
    constructor() payable {}

    function pay(address payable to, uint256 value) external {
        // The value brings 2,300 gas with it, and no more is given.
        (bool paid, ) = to.call{value: value, gas: 0}("");
        require(paid);
    }
}

/// A token whose issuer can do to it all that an issuer may, by the functions of Ethereum's USDT.
contract IssuedToken is GoodToken {
    uint256 public decimals = 6;
    bool public paused;
    bool public deprecated;
    address public upgradedAddress;
    uint256 public basisPointsRate;
    uint256 public maximumFee;
    mapping(address => bool) public isBlackListed;

    function setDecimals(uint256 value) external {
        decimals = value;
    }

    function setPaused(bool value) external {
        paused = value;
    }

    function deprecate(address successor) external {
        deprecated = true;
        upgradedAddress = successor;
    }

    function setFee(uint256 rate, uint256 most) external {
        basisPointsRate = rate;
        maximumFee = most;
    }

    function setBlackListed(address holder, bool value) external {
        isBlackListed[holder] = value;
    }
}

/// Runs another contract's code with its own storage: EIP-1967, without any right to ask for.
contract SwitchProxy {
    bytes32 private constant SLOT = bytes32(uint256(keccak256("eip1967.proxy.implementation")) - 1);

    constructor(address implementation) {
        upgradeTo(implementation);
    }

    function upgradeTo(address implementation) public {
        bytes32 slot = SLOT;
        assembly {
            sstore(slot, implementation)
        }
    }

    fallback() external {
        bytes32 slot = SLOT;
        assembly {
            calldatacopy(0, 0, calldatasize())
            let done := delegatecall(gas(), sload(slot), 0, calldatasize(), 0, 0)
            returndatacopy(0, 0, returndatasize())
            if iszero(done) {
                revert(0, returndatasize())
            }
            return(0, returndatasize())
        }
    }
}

/// Names the code that many proxies run.
contract SwitchBeacon {
    address public implementation;

    constructor(address implementation_) {
        implementation = implementation_;
    }

    function upgradeTo(address implementation_) external {
        implementation = implementation_;
    }
}

/// Six decimals, and it stands behind a beacon: EIP-1967.
contract BeaconToken is GoodToken {
    uint256 public constant decimals = 6;

    constructor(address beacon) {
        bytes32 slot = bytes32(uint256(keccak256("eip1967.proxy.beacon")) - 1);
        assembly {
            sstore(slot, beacon)
        }
    }
}

/// Tells its decimals, burns all gas at the next question and answers the one after it with 300 kB.
contract TiringToken is GoodToken {
    uint256 public constant decimals = 6;

    function paused() external pure {
        assembly {
            invalid()
        }
    }

    function deprecated() external pure {
        assembly {
            return(0, 300000)
        }
    }

    function basisPointsRate() external pure {
        assembly {
            mstore(0, not(0))
            return(0, 31)
        }
    }

    function maximumFee() external pure returns (uint256) {
        return type(uint256).max;
    }
}

/// A collector's item: an ERC-721 transfer has the same signature and a fourth topic.
contract CollectorsItem {
    event Transfer(address indexed from, address indexed to, uint256 indexed id);

    function mint(address to, uint256 id) external {
        emit Transfer(address(0), to, id);
    }
}

/// Calls itself whatever it likes.
contract CostumedToken is GoodToken {
    uint256 public constant decimals = 6;
    string public name = unicode"<script>alert(1)</script>\u202e\u0000USD Coin";
    string public symbol = unicode"<b>USDC</b>\u202e\u0000";
}

/// Many transfers of almost nothing in one transaction.
contract DustToken is GoodToken {
    uint256 public constant decimals = 6;

    function flood(address to, uint256 value, uint256 times) external {
        for (uint256 i = 0; i < times; ++i) {
            emit Transfer(msg.sender, to, value);
        }
        balanceOf[to] += value * times;
    }
}
