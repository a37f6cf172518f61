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
