// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// Asks one token many questions in one `eth_call` without an address: it runs there and is never deployed.
/// So all answers are of one block, and a function that the token doesn't have is told from a node that fails.
contract TokenProbe {
    /// What one question may burn: a token can't starve the questions after it.
    uint256 private constant GAS = 500_000;

    /// Gives abi.encode(for each question whether a word or more came back, the first word, the hash of the code).
    constructor(address token, bytes[] memory questions) {
        bool[] memory answered = new bool[](questions.length);
        uint256[] memory words = new uint256[](questions.length);
        for (uint256 i = 0; i < questions.length; ++i) {
            bytes memory question = questions[i];
            bool done;
            uint256 word;
            assembly {
                // 32 bytes at most are copied, however long the answer.
                done := staticcall(GAS, token, add(question, 32), mload(question), 0, 32)
                done := and(done, gt(returndatasize(), 31))
                word := mload(0)
            }
            answered[i] = done;
            words[i] = done ? word : 0;
        }
        // What a constructor gives back counts as code, which may not begin with 0xEF (EIP-3541): this begins with a small offset.
        bytes memory answer = abi.encode(answered, words, token.codehash);
        assembly {
            return(add(answer, 32), mload(answer))
        }
    }
}
