"""What a transaction costs, and whether it would succeed.

EIP-1559: of `fee_per_gas` the chain burns the block's base fee, and the block's maker gets at most `tip_per_gas`. Nodes
refuse a replacement that doesn't raise both by a tenth (geth's price bump) or, to be sure, an eighth. On OP-stack chains
posting to L1 costs extra, told by the predeploy GasPriceOracle's `getL1Fee(bytes)`.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from statistics import median_low

from eth_abi.abi import encode

from gateway.chain.accounts import WEI_MOST, Sight, answers
from gateway.chain.quorum import NoQuorum, Quorum
from gateway.chain.rpc import Node
from gateway.chain.wire import NodeFault, data, quantity, shown

GWEI = 10**9
GAS_ORACLE = "0x420000000000000000000000000000000000000F"
GET_L1_FEE = "0x49948e0e"
"""Selector of `getL1Fee(bytes)`."""

HISTORY_BLOCKS = 5
ENVELOPE = b"\xff" * 120
"""Stands for nonce, fees, recipient and signature, which are posted to L1 too and don't compress."""

_RAISED, _OF = 9, 8
"""A replacement pays at least nine eighths."""

_FAILS = re.compile(r"revert|out of gas|gas required exceeds|intrinsic gas|invalid opcode|stack|EVM error", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fees:
    """Wei per gas. `tip_per_gas` None: a legacy transaction, which pays all of `fee_per_gas`."""

    fee_per_gas: int
    tip_per_gas: int | None

    def fields(self) -> dict[str, int]:
        """As a transaction's fields."""
        if self.tip_per_gas is None:
            return {"gasPrice": self.fee_per_gas}
        return {"maxFeePerGas": self.fee_per_gas, "maxPriorityFeePerGas": self.tip_per_gas}


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """What gas costs at present."""

    fees: Fees
    """With room for the base fee to double."""
    least: int
    """Wei per gas below which nothing is mined now."""


@dataclass(frozen=True, slots=True)
class Simulated:
    """What a transaction would do in the newest block. `why`: in the node's words, which differ from node to node."""

    fails: bool
    why: str = field(default="", compare=False)


async def market(quorum: Quorum, *, sight: Sight) -> Market:
    """What gas costs: the middle of what the nodes say, for each says something else. Raises `NoQuorum`."""
    if sight.base_fee is None:
        price = await _middle(quorum, lambda node: _price(node, "eth_gasPrice"))
        return Market(fees=Fees(fee_per_gas=price, tip_per_gas=None), least=price)
    tip = await _middle(quorum, lambda node: _tip(node, sight.number))
    fees = Fees(fee_per_gas=2 * sight.base_fee + tip, tip_per_gas=tip)
    return Market(fees=fees, least=sight.base_fee + tip)


def within(fees: Fees, *, most: int) -> Fees:
    """The fees, cut to at most `most` wei per gas."""
    tip = fees.tip_per_gas
    return Fees(fee_per_gas=min(fees.fee_per_gas, most), tip_per_gas=None if tip is None else min(tip, most))


def replacement(before: Fees, now: Fees, *, most: int) -> Fees | None:
    """Fees with which nodes take a transaction in the place of one with `before`; None: that would be over `most`."""
    fee = _eighth_more(before.fee_per_gas)
    if fee > most:
        return None
    tip = None if before.tip_per_gas is None else max(_eighth_more(before.tip_per_gas), now.tip_per_gas or 0)
    return within(Fees(fee_per_gas=max(fee, now.fee_per_gas, tip or 0), tip_per_gas=tip), most=most)


async def l1_fee(quorum: Quorum, *, call_data: bytes, sight: Sight) -> int:
    """Wei that an OP-stack chain takes for posting to L1; 0 on other chains. Raises `NoQuorum`."""
    question = GET_L1_FEE + encode(["bytes"], [ENVELOPE + call_data]).hex()

    async def at(node: Node) -> int:
        answer = await node.ask("eth_call", ({"to": GAS_ORACLE, "data": question}, hex(sight.number)))
        return int.from_bytes(data(answer, "the fee for L1"))

    return await quorum.agreed(at)


async def simulate(quorum: Quorum, *, call: Mapping[str, object], sight: Sight) -> Simulated:
    """Whether a transaction (from, to, data, value, gas) would succeed at the block of `sight`. Raises `NoQuorum`."""

    async def at(node: Node) -> Simulated:
        try:
            await node.ask("eth_call", (dict(call), hex(sight.number)))
        except NodeFault as fault:
            if not would_fail(fault):
                raise
            return Simulated(True, str(fault))
        return Simulated(False)

    return await quorum.agreed(at)


def would_fail(fault: NodeFault) -> bool:
    """Whether a node says that a call fails by the contract's will, and not by the node's own."""
    return _FAILS.search(str(fault)) is not None


def _eighth_more(price: int) -> int:
    return -(-price * _RAISED // _OF)


async def _middle(quorum: Quorum, question: Callable[[Node], Awaitable[int]]) -> int:
    prices = await answers(quorum, question)
    if not prices:
        raise NoQuorum("no node says what gas costs")
    return median_low(prices)


async def _tip(node: Node, number: int) -> int:
    """What half of the gas in the last blocks gave as a tip, or what the node advises, whichever is more."""
    history = await node.ask("eth_feeHistory", (hex(HISTORY_BLOCKS), hex(number), [50]))
    rewards = history.get("reward") if isinstance(history, Mapping) else None
    if not isinstance(rewards, list) or not all(isinstance(block, list) and len(block) == 1 for block in rewards):
        raise NodeFault(f"the history of fees should have rewards, the node says {shown(history)}")
    given = median_low([quantity(block[0], "a tip", most=WEI_MOST) for block in rewards] or [0])
    try:
        return max(given, await _price(node, "eth_maxPriorityFeePerGas"))
    except NodeFault:
        # Not every node gives advice.
        return given


async def _price(node: Node, method: str) -> int:
    return quantity(await node.ask(method, ()), method, most=WEI_MOST)
