"""Deciding about deposits, without a database: whatever arrives in whatever order, no unit is lost or made."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from gateway.money import Asset, Money
from gateway.orders.advance import Move
from gateway.orders.funding import Booking, Sighting, Standing, book
from gateway.orders.states import E, S, step

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
EXPIRES = NOW + timedelta(minutes=15)
USDC, BRIDGED = Asset("USDC@31337", 6), Asset("USDC.e@31337", 6)
DUE, LEAST = Money(10_000_000, USDC), Money(10_000, USDC)
BIGGEST = 2**256 - 1
NEW = Standing(order_id="ord_1", state=S.AWAITING_DEPOSIT, due=DUE, has=Money(0, USDC), expires_at=EXPIRES, live=0)


@dataclass
class Books:
    """What the steps and entries of bookings add up to, as table and ledger would have it."""

    standing: Standing = NEW
    accounts: Counter[tuple[str, str]] = field(default_factory=Counter)
    frozen_last: bool = False

    def take(self, booking: Booking) -> None:
        for entry in booking.entries:
            for transfer in entry.transfers:
                assert transfer.money.units >= 0
                self.accounts[transfer.destination.rpartition(":")[2], transfer.money.asset.code] += transfer.money.units
        state = self.standing.state
        for move in booking.moves:
            taken = step(state, move.event)
            assert taken is not None
            self._post(move)
            state = taken.next
        assert state is booking.after.state
        self.standing = booking.after

    def _post(self, move: Move) -> None:
        if move.event in (E.DEPOSIT_FINAL, E.DEPOSIT_MISMATCHED):
            for account in ("funds", "unallocated"):
                units = int(move.data[account])
                assert units >= 0
                self.accounts[account, USDC.code] += units


amounts = st.one_of(
    st.sampled_from([1, 9_999, 10_000, 9_999_999, 10_000_000, 10_000_001, 2**255, BIGGEST]),
    st.integers(1, 20_000_000),
    st.integers(1, BIGGEST),
)
sightings = st.builds(
    Sighting,
    chain_id=st.just(31337),
    tx_hash=st.just("0x"),
    log_index=st.integers(0, 9),
    block_hash=st.just("0x"),
    block_time=st.sampled_from([NOW, EXPIRES - timedelta(microseconds=1), EXPIRES]),
    amount=st.builds(Money, amounts, st.sampled_from([USDC, USDC, USDC, BRIDGED])),
    status=st.sampled_from(["seen", "final", "final", "orphaned"]),
    booked=st.none(),
)


@given(st.lists(st.tuples(sightings, st.booleans()), max_size=8))
def test_every_unit_that_became_final_is_on_the_ledger_once(arrivals: list[tuple[Sighting, bool]]) -> None:
    books, arrived = Books(), Counter[str]()
    for seen, frozen in arrivals:
        before = books.standing.state
        books.take(book(books.standing, seen, least=LEAST, frozen=frozen, now=NOW))
        if seen.status == "final":
            arrived[seen.amount.asset.code] += seen.amount.units
        on_ledger = Counter[str]()
        for (_, asset), units in books.accounts.items():
            on_ledger[asset] += units
        assert on_ledger == arrived
        assert books.accounts["funds", USDC.code] == books.standing.has.units <= DUE.units
        assert books.accounts["funds", BRIDGED.code] == 0
        assert (books.standing.state is S.FUNDED) <= (books.standing.has == DUE)
        assert not (frozen and books.standing.state is S.FUNDED and before is not S.FUNDED)


def final(units: int, *, asset: Asset = USDC, at: datetime = NOW) -> Sighting:
    return Sighting(
        chain_id=31337,
        tx_hash="0x",
        log_index=0,
        block_hash="0x",
        block_time=at,
        amount=Money(units, asset),
        status="final",
        booked=None,
    )


def decide(standing: Standing, seen: Sighting, *, frozen: bool = False) -> Booking:
    return book(standing, seen, least=LEAST, frozen=frozen, now=NOW)


def test_a_frozen_coin_holds_the_order_whatever_else_is_wrong() -> None:
    for seen in (final(10_000_000), final(1_000_000), final(10_000_000, at=EXPIRES)):
        booking = decide(NEW, seen, frozen=True)
        assert [(move.event, move.data.get("reason")) for move in booking.moves][-1] == (E.DEPOSIT_MISMATCHED, "frozen")
        assert booking.moves[-1].due_at is None


def test_the_rest_of_an_order_held_for_too_little_is_held_while_its_coin_is_frozen() -> None:
    short = decide(NEW, final(6_000_000)).after
    assert short.held_for == "underpaid"
    booking = decide(short, final(4_000_000), frozen=True)
    assert [(move.event, move.data.get("reason")) for move in booking.moves] == [
        (E.HOLD_LIFTED, None),
        (E.HOLD_PLACED, "frozen"),
    ]
    assert (booking.after.state, booking.after.has, booking.after.held_for) == (S.HELD, DUE, "frozen")


def test_what_was_held_for_a_freeze_does_not_go_on_when_the_rest_arrives() -> None:
    short = decide(NEW, final(6_000_000), frozen=True).after
    booking = decide(short, final(4_000_000))
    assert (booking.moves, booking.after.has, booking.after.state) == ((), DUE, S.HELD)
    assert decide(replace(short, held_for="underpaid"), final(4_000_000)).after.state is S.FUNDED


def test_a_deposit_absurdly_above_the_quote_is_kept_beside_it() -> None:
    for units in (2**255, BIGGEST):
        (_, move) = decide(NEW, final(units)).moves
        assert (move.event, move.data["funds"], move.data["unallocated"]) == (
            E.DEPOSIT_FINAL,
            "10000000",
            str(units - 10_000_000),
        )
