// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// A price feed, or a sequencer's uptime feed, as Chainlink's AggregatorV3Interface describes them; it says what it is told.

contract TestFeed {
    struct Round {
        uint80 roundId;
        int256 answer;
        uint256 startedAt;
        uint256 updatedAt;
        uint80 answeredInRound;
    }

    uint8 public immutable decimals;
    string public description;
    uint256 public constant version = 4;
    Round private latest;

    constructor(uint8 decimals_, string memory description_) {
        decimals = decimals_;
        description = description_;
    }

    /// A round as the feed's nodes report one: at the block's time, in phase 1 of the proxy.
    function report(int256 answer) external {
        uint80 next = latest.roundId == 0 ? (uint80(1) << 64) + 1 : latest.roundId + 1;
        latest = Round(next, answer, block.timestamp, block.timestamp, next);
    }

    /// Any round at all.
    function say(uint80 roundId, int256 answer, uint256 startedAt, uint256 updatedAt, uint80 answeredInRound) external {
        latest = Round(roundId, answer, startedAt, updatedAt, answeredInRound);
    }

    function latestRoundData() external view returns (uint80, int256, uint256, uint256, uint80) {
        require(latest.updatedAt != type(uint256).max, "No data present");
        return (latest.roundId, latest.answer, latest.startedAt, latest.updatedAt, latest.answeredInRound);
    }
}
