"""What to sweep, and what a sweep did. No I/O.

Gas as measured with Circle's USDC on a development node: a transaction costs some 60,000 for itself, 72,000 for each
forwarder that isn't deployed yet, 15,000 for each transfer.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from gateway.chain.accounts import Log, Receipt
from gateway.chain.forwarders import FLUSH_FAILED, FLUSHED, NO_ADDRESS
from gateway.chain.logs import TRANSFER
from gateway.money import Asset, Money, decimal_of

SWEEP_GAS, NEW_FORWARDER_GAS, FLUSH_GAS = 60_000, 72_000, 15_000
"""What a sweep usually burns: for itself, per forwarder to deploy, per coin of a forwarder."""

GAS_MOST = 12_000_000
"""Gas limit of one sweep; a transaction may have 16,777,216 on Ethereum (EIP-7825)."""
BASE_LIMIT, FORWARDER_LIMIT, LISTED_LIMIT, ANY_LIMIT = 300_000, 100_000, 200_000, 1_100_000
"""Gas limits: of a sweep without forwarders, per forwarder, per listed coin of one, and per coin of any kind: the contract
lets the question for the balance and the transfer burn 500,000 each."""

WEI = 10**18
TOPICS = 3
ADDRESS_AT = 26
"""Where the address begins in a topic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """A coin at a deposit address of ours."""

    address: str
    """In lower case, as `token`."""
    salt: bytes
    owner: str
    """The order that the address was made for."""
    token: str
    """The contract, or `NO_ADDRESS` for the native coin."""
    asset: Asset | None
    """None: a coin that we don't list."""
    booked: int
    """Units that are final on the chain and on our books, and not swept yet."""
    held: int = 0
    """Units that lie there, by the word of a quorum."""
    stands: bool = False
    """Whether its forwarder has been deployed by a sweep of ours."""

    @property
    def gas(self) -> int:
        """What taking it along usually burns."""
        return FLUSH_GAS + (0 if self.stands else NEW_FORWARDER_GAS)

    @property
    def limit(self) -> int:
        """What taking it along may burn."""
        return FORWARDER_LIMIT + (ANY_LIMIT if self.asset is None else LISTED_LIMIT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A holding, and whether it is swept now."""

    holding: Holding
    worth_it: bool
    why: str
    """In words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What gas costs now, and how much of the value it may cost."""

    wei_per_gas: int
    l1_wei: int
    """What posting one forwarder's part to L1 costs."""
    native_usd: Fraction
    """US dollars for one native coin."""
    most_bps: int

    def usd(self, *, gas: int, forwarders: int) -> Fraction:
        """US dollars for so much gas and so many forwarders."""
        return Fraction(gas * self.wei_per_gas + forwarders * self.l1_wei, WEI) * self.native_usd


def judge(
    holdings: Iterable[Holding], *, worth: Mapping[str, Fraction], frozen: Mapping[str, str], costs: Costs
) -> list[Judged]:
    """Which are worth their gas now. `worth`: US dollars for one whole coin, by token; `frozen`: reasons by asset code.

    Each has to carry its own gas, and what is left has to carry the transactions themselves; else all of it waits for more.
    """
    judged = [_judged(holding, worth=worth, frozen=frozen, costs=costs) for holding in holdings]
    chosen = [one.holding for one in judged if one.worth_it]
    value = sum((_value(holding, worth) or Fraction(0) for holding in chosen), Fraction(0))
    gas = len(batches(chosen)) * SWEEP_GAS + sum(holding.gas for holding in chosen)
    cost = costs.usd(gas=gas, forwarders=len(chosen))
    if not chosen or cost * 10_000 <= value * costs.most_bps:
        return judged
    share = f"and may cost {_percent(costs.most_bps)}"
    why = f"all together are worth {_usd(value)}, gas would cost {_usd(cost)} {share}: wait for more"
    return [replace(one, worth_it=False, why=why) if one.worth_it else one for one in judged]


def batches(holdings: Sequence[Holding]) -> list[list[Holding]]:
    """Holdings in sets that fit into a transaction each. Coins are apart, for one doesn't pay for asking about another."""
    sets: list[list[Holding]] = []
    limit = GAS_MOST
    for holding in sorted(holdings, key=lambda one: one.token):
        if not sets or sets[-1][-1].token != holding.token or limit + holding.limit > GAS_MOST:
            sets.append([])
            limit = BASE_LIMIT
        sets[-1].append(holding)
        limit += holding.limit
    return sets


def gas_limit(holdings: Sequence[Holding]) -> int:
    """The gas limit of a batch."""
    return BASE_LIMIT + sum(holding.limit for holding in holdings)


def _judged(holding: Holding, *, worth: Mapping[str, Fraction], frozen: Mapping[str, str], costs: Costs) -> Judged:
    value, cost = _value(holding, worth), costs.usd(gas=holding.gas, forwarders=1)
    worth_it = False
    if holding.asset is not None and holding.asset.code in frozen:
        why = f"frozen: {frozen[holding.asset.code]}"
    elif holding.held == 0:
        why = "nothing lies there any more: somebody else has swept it (`lastmile sweep adopt` books it)"
    elif value is None:
        why = "what it is worth in US dollars isn't known: `lastmile sweep run` sweeps it all the same"
    elif cost * 10_000 > value * costs.most_bps:
        share = f"and may cost {_percent(costs.most_bps)}"
        why = f"worth {_usd(value)}, gas would cost {_usd(cost)} {share}: wait for cheaper gas"
    else:
        worth_it, why = True, f"worth {_usd(value)}, gas costs {_usd(cost)}"
    return Judged(holding=holding, worth_it=worth_it, why=why)


def _value(holding: Holding, worth: Mapping[str, Fraction]) -> Fraction | None:
    """US dollars. What lies there without being on our books doesn't count."""
    price = worth.get(holding.token)
    if price is None or holding.asset is None:
        return None
    return Fraction(min(holding.booked, holding.held), 10**holding.asset.decimals) * price


def _usd(value: Fraction) -> str:
    return f"{decimal_of(value, digits=4 if value < 1 else 2)} USD"


def _percent(bps: int) -> str:
    return f"{bps // 100}.{bps % 100:02d} %"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flush:
    """What a transaction did to one coin at one of our addresses."""

    address: str
    token: str
    sent: int | None
    """What left the address; None: it refused, and all of it is still there."""
    arrived: int
    """What the treasury got of it, by the token's own Transfer logs."""
    log_index: int

    def money(self, asset: Asset) -> tuple[Money, Money]:
        """What arrived, and what the token kept."""
        return Money(self.arrived, asset), Money((self.sent or 0) - self.arrived, asset)


def flushes(receipt: Receipt, *, factory: str, treasury: str, ours: Collection[str]) -> list[Flush]:
    """What a transaction did to those addresses of ours that it touched, whoever sent it.

    By the factory's events; where somebody flushed a forwarder without the factory, by the token's Transfer logs alone.
    """
    moved = _transfers(receipt.logs, ours=ours)
    found: dict[tuple[str, str], Flush] = {}
    for log in receipt.logs:
        if log.address != factory.lower() or len(log.topics) != TOPICS or log.topics[0] not in (FLUSHED, FLUSH_FAILED):
            continue
        address, token = (f"0x{topic[ADDRESS_AT:]}" for topic in log.topics[1:])
        if address in ours:
            sent = int.from_bytes(log.data) if log.topics[0] == FLUSHED else None
            arrived = (
                0
                if sent is None
                else sent
                if token == NO_ADDRESS
                else moved.get((address, token), {}).get(treasury.lower(), 0)
            )
            before = found.get((address, token))
            found[address, token] = _both(
                before, Flush(address=address, token=token, sent=sent, arrived=arrived, log_index=log.index)
            )
    for (address, token), by_recipient in moved.items():
        if (address, token) not in found and treasury.lower() in by_recipient:
            first = next(log.index for log in receipt.logs if log.address == token and _is_transfer(log, address))
            arrived = by_recipient[treasury.lower()]
            found[address, token] = Flush(
                address=address, token=token, sent=sum(by_recipient.values()), arrived=arrived, log_index=first
            )
    return list(found.values())


def _both(before: Flush | None, flush: Flush) -> Flush:
    """Two events of one coin at one address: a token that calls back in the middle can make them."""
    if before is None or before.sent is None:
        return flush
    return before if flush.sent is None else replace(before, sent=before.sent + flush.sent)


def _transfers(logs: Iterable[Log], *, ours: Collection[str]) -> dict[tuple[str, str], dict[str, int]]:
    """Per (address of ours, token): how much went to whom."""
    moved: dict[tuple[str, str], dict[str, int]] = {}
    for log in logs:
        if len(log.topics) == TOPICS and log.topics[0] == TRANSFER and f"0x{log.topics[1][ADDRESS_AT:]}" in ours:
            sender, recipient = (f"0x{topic[ADDRESS_AT:]}" for topic in log.topics[1:])
            to = moved.setdefault((sender, log.address), {})
            to[recipient] = to.get(recipient, 0) + int.from_bytes(log.data)
    return moved


def _is_transfer(log: Log, sender: str) -> bool:
    return len(log.topics) == TOPICS and log.topics[0] == TRANSFER and log.topics[1].endswith(sender[2:])
