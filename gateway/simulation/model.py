"""The reference model: what the books must say at the end, computed from what really happened and from nothing else.

No database, no memory of the way: transfers in the final chain, movements of money at the rails, what people put in.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from gateway.refunds.order import Of
from gateway.simulation.chain import CHAIN_ID, TREASURY, USDC, Credit
from gateway.simulation.market import LEAST_UNITS, PARTNER, Deal
from gateway.simulation.rails import Movement
from gateway.simulation.refunds import Back

CLAIMS = "claims"
"""What all rails together owe us."""
Accounts = dict[tuple[str, str], int]
"""Units by account and asset; accounts that others hold for us stand below zero."""


@dataclass(frozen=True, slots=True)
class TopUp:
    """Money that the operator put into our account at a rail."""

    rail: str
    asset: str
    units: int


@dataclass(slots=True)
class Case:
    """One order, as far as its money goes."""

    deal: Deal
    funds: int = 0
    kept: int = 0
    """Received beyond what the order needs."""
    started: bool = False
    late: bool = False
    undecided: bool = False
    refunded: bool = False
    paid: dict[str, int] = field(default_factory=dict)
    """What reached the recipient and stayed there, by attempt."""

    def receive(self, units: int, *, in_time: bool) -> None:
        """A transfer: the first one counts, and others as long as something is missing."""
        missing = self.deal.send - self.funds
        counts = units >= LEAST_UNITS and (not self.started or (in_time and missing > 0))
        if counts and not self.started:
            self.started, self.late = True, not in_time
        part = min(missing, units) if counts else 0
        self.funds += part
        self.kept += units - part

    def agree(self, deal: Deal) -> None:
        """Its sender has agreed to another price for what came: no matter now when, or how much it was."""
        self.deal, self.late = deal, False
        self.kept, self.funds = self.kept + self.funds - deal.send, deal.send

    def give_back(self, of: Of, units: int) -> None:
        """A refund has reached its sender."""
        if of is Of.UNALLOCATED:
            self.kept -= units
        else:
            self.funds, self.refunded = self.funds - units, True

    @property
    def funded(self) -> bool:
        """Whether it could be paid out without anybody's word."""
        return self.funds == self.deal.send and not self.late


def case_of(deal: Deal, *, credits: Iterable[Credit], agreed: Deal | None) -> Case:  # noqa: A002 - the word for it
    """An order with all that came for it. `deal`: what it promised first."""
    case = Case(deal)
    for credit in credits:
        if credit.units:
            case.receive(credit.units, in_time=credit.time < deal.expires_at.timestamp())
    if agreed is not None:
        case.agree(agreed)
    return case


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What must be found."""

    accounts: Accounts
    states: dict[str, frozenset[str]]


def expect(
    *,
    deals: Mapping[str, Deal],
    credits: Iterable[Credit],  # noqa: A002 - the word for it
    movements: Sequence[tuple[str, Movement]],
    top_ups: Iterable[TopUp],
    undecided: frozenset[tuple[str, str]],
    refunds: Mapping[str, Back],
    agreed: Mapping[str, Deal],
) -> Expected:
    """Accounts and final states. `movements` come with the order that they belong to.

    `undecided`: attempts, with their orders, about which a person has still to say what the rail doesn't. `refunds`: whose
    money goes to which address. `deals`: what each order promised first; `agreed`: other prices that came later.
    """
    cases = {order_id: Case(deal) for order_id, deal in deals.items()}
    accounts: Accounts = defaultdict(int)
    _credit(cases, accounts, credits, refunds, agreed)
    for top_up in top_ups:
        accounts[f"rail:{top_up.rail}", top_up.asset] -= top_up.units
        accounts["capital", top_up.asset] += top_up.units
    for order_id, _ in undecided:
        cases[order_id].undecided = True
    for order_id, movement in movements:
        if (order_id, movement.attempt_id) in undecided:
            continue
        case = cases[order_id]
        accounts[f"rail:{movement.rail}", case.deal.asset] += movement.units
        case.paid[movement.attempt_id] = case.paid.get(movement.attempt_id, 0) + movement.units
    for case in cases.values():
        _settle(case, accounts)
    states = {order_id: _states(case) for order_id, case in cases.items()}
    return Expected(accounts={key: units for key, units in accounts.items() if units}, states=states)


def _credit(
    cases: Mapping[str, Case],
    accounts: Accounts,
    credits: Iterable[Credit],  # noqa: A002 - the word for it
    refunds: Mapping[str, Back],
    agreed: Mapping[str, Deal],
) -> None:
    by_address = {case.deal.address: case for case in cases.values()}
    given_back = []
    for credit in credits:
        case = by_address.get(credit.address)
        if credit.address in refunds:
            given_back.append((refunds[credit.address], credit.units))
        if TREASURY in (credit.address, credit.sender):
            stocked = credit.units if credit.address == TREASURY else 0
            accounts[f"treasury:{CHAIN_ID}", USDC.code] += credit.units - 2 * stocked
            accounts["capital", USDC.code] += stocked
        if case is not None and credit.units:
            case.receive(credit.units, in_time=credit.time < case.deal.expires_at.timestamp())
            accounts[f"chain:{CHAIN_ID}", USDC.code] -= credit.units
    # What goes back of an order's own goes when nothing more comes, and all of it: after any other price.
    for order_id, deal in agreed.items():
        cases[order_id].agree(deal)
    for back, units in given_back:
        cases[back.order_id].give_back(back.of, units)


def _settle(case: Case, accounts: Accounts) -> None:
    deal, own = case.deal, f"order:{case.deal.order_id}"
    accounts[f"{own}:unallocated", USDC.code] += case.kept
    delivered = sum(case.paid.values())
    if case.undecided:
        # Another attempt may still be paid: until that is known, what was paid after a "failed" is ours to claim.
        accounts[f"{own}:payout", USDC.code] += case.funds
        accounts[CLAIMS, deal.asset] -= delivered
        return
    if case.refunded:
        # The order is over: what a rail pays all the same is ours to claim.
        accounts[CLAIMS, deal.asset] -= delivered
    if case.refunded or not delivered:
        accounts[f"{own}:funds", USDC.code] += case.funds
        return
    accounts["exchange", USDC.code] += deal.send
    accounts["exchange", deal.asset] -= deal.mid
    accounts["revenue:fx_margin", deal.asset] += deal.margin
    accounts["revenue:service_fee", deal.asset] += deal.fee
    if deal.extra:
        accounts[f"partner:{PARTNER}:fees", deal.asset] += deal.extra.partner_fee
        accounts["revenue:rail_fee", deal.asset] += deal.extra.rail_fee
        accounts["revenue:network_fee", deal.asset] += deal.extra.network_fee
    accounts["rounding", deal.asset] += deal.rounding
    # What rails paid beyond that, they took without right; from which of several we claim it depends on who spoke first.
    accounts[CLAIMS, deal.asset] -= max(delivered - deal.receive, 0)
    accounts[f"{own}:owed", deal.asset] += max(deal.receive - delivered, 0)


def _states(case: Case) -> frozenset[str]:
    if not case.started:
        return frozenset({"expired"})
    if case.undecided:
        return frozenset({"uncertain"})
    if case.refunded:
        return frozenset({"refunded"})
    if sum(case.paid.values()):
        return frozenset({"paid"})
    return frozenset({"held"})
