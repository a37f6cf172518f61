// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Deposit addresses that can only pay one treasury
/// @notice A deposit address is the CREATE2 address of a `Forwarder`: known before anything is deployed there, the same on
/// every EVM chain where this factory stands, and without a key that could be lost or stolen. Coins may arrive before or
/// after the deployment. Anyone may sweep; where the coins go was fixed when the factory was made. No owner, no upgrade.
contract ForwarderFactory {
    /// @notice Where all coins go. It must be the same party's address on every chain.
    address public immutable treasury;

    /// @dev Forwarders are made without arguments, so that this is the same for all of them.
    bytes32 private immutable forwarderCodeHash = keccak256(type(Forwarder).creationCode);

    /// @dev A token that burns all the gas it is given must leave enough for the others. One that honestly needs more can
    /// be flushed at its forwarder directly.
    uint256 private constant CALL_GAS = 500_000;

    /// @notice All of `token` that `forwarder` held, `amount` of its smallest units, was sent to the treasury. address(0)
    /// is the native coin. A token that charges a fee delivers less, as its own Transfer event says.
    event Flushed(address indexed forwarder, address indexed token, uint256 amount);

    /// @notice `token` stayed where it is: paused, blocked, refusing, no token, or too little gas. Any later sweep may work.
    event FlushFailed(address indexed forwarder, address indexed token);

    error NoTreasury();

    constructor(address treasury_) {
        if (treasury_ == address(0)) revert NoTreasury();
        treasury = treasury_;
    }

    /// @notice Send all that the forwarders of `salts` hold of each of `tokens` to the treasury; address(0) is the native
    /// coin. Deploys the forwarders that aren't yet. What fails is named by `FlushFailed` and doesn't hinder the rest.
    function sweep(bytes32[] calldata salts, address[] calldata tokens) external {
        for (uint256 i = 0; i < salts.length; ++i) {
            address forwarder = forwarderAddress(salts[i]);
            if (forwarder.code.length == 0) new Forwarder{salt: salts[i]}();
            for (uint256 j = 0; j < tokens.length; ++j) {
                _flush(forwarder, tokens[j]);
            }
        }
    }

    /// @notice The deposit address that belongs to `salt`, deployed or not.
    function forwarderAddress(bytes32 salt) public view returns (address) {
        bytes32 hash = keccak256(abi.encodePacked(bytes1(0xff), address(this), salt, forwarderCodeHash));
        return address(uint160(uint256(hash)));
    }

    function _flush(address forwarder, address token) private {
        (bool known, uint256 amount) = _balance(forwarder, token);
        if (known && amount == 0) return;
        if (known) {
            try Forwarder(payable(forwarder)).flush{gas: CALL_GAS}(token, amount) {
                emit Flushed(forwarder, token, amount);
                return;
            } catch {}
        }
        emit FlushFailed(forwarder, token);
    }

    /// @dev Reads one word of the token's answer, however long that is. An address without code answers nothing.
    function _balance(address holder, address token) private view returns (bool known, uint256 amount) {
        if (token == address(0)) return (true, holder.balance);
        bytes memory question = abi.encodeCall(IToken.balanceOf, (holder));
        assembly ("memory-safe") {
            let answered := staticcall(CALL_GAS, token, add(question, 32), mload(question), 0, 32)
            known := and(answered, gt(returndatasize(), 31))
            amount := mload(0)
        }
    }
}

/// @title One deposit address
/// @notice Anyone may flush it; only the treasury can receive. It has no state, so that a token that calls back in the
/// middle finds nothing to confuse, and it is short, because each order pays for its deployment.
contract Forwarder {
    address private immutable treasury;

    constructor() {
        treasury = ForwarderFactory(msg.sender).treasury();
    }

    receive() external payable {}

    /// @notice Send `amount` of `token` to the treasury, address(0) being the native coin; reverts if that fails.
    /// @dev Success is a call that doesn't revert and answers nothing (USDT) or true. Reads one word of the answer.
    function flush(address token, uint256 amount) external {
        address to = treasury;
        bytes4 transfer = IToken.transfer.selector;
        assembly ("memory-safe") {
            let done
            switch token
            case 0 {
                done := call(gas(), to, amount, 0, 0, 0, 0)
            }
            default {
                let data := mload(0x40)
                mstore(data, transfer)
                mstore(add(data, 4), to)
                mstore(add(data, 36), amount)
                done := call(gas(), token, 0, data, 68, 0, 32)
                if returndatasize() {
                    done := and(done, and(gt(returndatasize(), 31), eq(mload(0), 1)))
                }
            }
            if iszero(done) {
                revert(0, 0)
            }
        }
    }
}

interface IToken {
    function balanceOf(address holder) external view returns (uint256);

    function transfer(address to, uint256 amount) external returns (bool);
}
