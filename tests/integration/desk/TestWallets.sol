// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// Wallets that are contracts, for the tests.

/// Takes the signature of its owner's key for its own (EIP-1271).
contract OwnedWallet {
    address private immutable owner;

    constructor(address owner_) {
        owner = owner_;
    }

    function isValidSignature(bytes32 hash, bytes calldata signature) external view returns (bytes4) {
        (bytes32 r, bytes32 s) = abi.decode(signature[:64], (bytes32, bytes32));
        return ecrecover(hash, uint8(signature[64]), r, s) == owner ? bytes4(0x1626ba7e) : bytes4(0xffffffff);
    }
}

/// Says no by reverting, as many do.
contract RevertingWallet {
    function isValidSignature(bytes32, bytes calldata) external pure returns (bytes4) {
        revert("GS026");
    }
}

/// Burns all gas it is given.
contract HungryWallet {
    function isValidSignature(bytes32, bytes calldata) external pure returns (bytes4) {
        assembly {
            invalid()
        }
    }
}

/// A contract that sends native coin on, so that no transaction of its own goes to the recipient.
contract Router {
    function pass(address payable to) external payable {
        (bool done, ) = to.call{value: msg.value}("");
        require(done);
    }
}

/// Emits what looks like transfers and isn't.
contract Emitter {
    function nft(address to) external {
        bytes32 signature = keccak256("Transfer(address,address,uint256)");
        assembly {
            log4(0, 0, signature, caller(), to, 7)
            log3(0, 0, signature, caller(), to)
            log3(0, 96, signature, caller(), to)
            log2(0, 32, signature, to)
        }
    }
}
