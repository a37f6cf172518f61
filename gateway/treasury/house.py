"""The house's own orders: each carries out one approved move, as attempts, with the same rules as any payout.

Accounts. Money that a move takes to one of our accounts is, until it is known to be there, an asset of its own: "KES@move".
`transit:<rail>` stands below zero by what approved moves bring to that rail. The order's account holds as much, so that it
is funded, and when it is paid the rail that paid has given KES for KES@move, as the exchange account says. Once the money is
there the exchange is undone: the KES lie at the other rail, and nothing is in transit. A move that fails gives back what it
was funded with, and every account is as it was, but for what was sold on the way and the fees, which its legs have booked.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.chain.forwarders import NO_ADDRESS, forwarder_address, salt_of
from gateway.chain.models import DepositAddress
from gateway.ids import new_id, new_token
from gateway.ledger.post import Entry, Transfer, post, register_assets
from gateway.money import Asset, Money, Rate
from gateway.orders.advance import Move as Step
from gateway.orders.advance import Verdict, advance
from gateway.orders.house import HOUSE
from gateway.orders.models import Order, Recipient
from gateway.orders.states import E, S
from gateway.pricing.models import Quote
from gateway.treasury.plan import Move

EXCHANGE, FEES = "exchange", "cost:rail_fees"
NO_CHAIN = 0
"""Of orders that nobody deposits for."""
_AT_ONCE = timedelta(seconds=1)


def moving(money: Money) -> Money:
    """The same amount on its way."""
    return Money(money.units, Asset(f"{money.asset.code}@move", money.asset.decimals))


def transit(move: Move) -> str:
    """The account of what is on its way to the move's rail."""
    return f"transit:{move.to_rail}"


async def open_order(connection: AsyncConnection, *, move: Move, now: datetime) -> str:
    """Make the order of an approved move, funded, in the caller's transaction. `gateway.treasury.running` begins it.

    Its recipient is ourselves; its deposit address is one that no factory can ever make. Returns its id.
    """
    assert move.to is not None
    order_id, quote_id, money = new_id("ord", now=now), new_id("quo", now=now), moving(move.money)
    salt = salt_of(order_id)
    address = forwarder_address(factory=NO_ADDRESS, salt=salt).lower()
    await register_assets(connection, assets=[money.asset])
    await connection.execute(insert(Quote).values(_quote(move, quote_id, now=now)))
    await connection.execute(
        insert(DepositAddress).values(address=address, factory=NO_ADDRESS, salt=salt.hex(), owner=order_id, created_at=now)
    )
    await connection.execute(
        insert(Order).values(
            id=order_id,
            partner_id=HOUSE,
            quote_id=quote_id,
            tracking_token=new_token(),
            state=S.FUNDED,
            version=0,
            due_at=move.at,
            deposit_address=address,
            reference=move.id,
            details={},
            created_at=now,
            updated_at=now,
        )
    )
    whom = {"name": move.to.holder, "account": move.to.account, "institution": move.to.institution}
    await connection.execute(insert(Recipient).values(order_id=order_id, **whom))
    funding = Transfer(transit(move), f"order:{order_id}:funds", money)
    await post(connection, entries=[Entry(f"move:{move.id}:approved", "move_approved", (funding,), order_id)], now=now)
    return order_id


def _quote(move: Move, quote_id: str, *, now: datetime) -> dict[str, object]:
    """The promise to ourselves: one for one, without a margin or a fee. What it costs, its legs book."""
    assert move.to is not None
    units = move.money.units
    rates = dict.fromkeys(("mid_num", "mid_den", "applied_num", "applied_den"), 1)
    nothing = dict.fromkeys(("margin_units", "fee_units", "rounding_units"), 0)
    return {
        "id": quote_id,
        "partner_id": HOUSE,
        "created_at": now,
        "expires_at": now + _AT_ONCE,
        "chain_id": NO_CHAIN,
        "send_asset": moving(move.money).asset.code,
        "send_units": units,
        "receive_asset": move.money.asset.code,
        "receive_units": units,
        "country": move.to.country,
        "method": move.to.method,
        "mid_as_of": now,
        "sources": [],
        "mid_units": units,
        **rates,
        **nothing,
    }


_VERSION = text("SELECT version FROM orders WHERE id = :id")


async def give_up(connection: AsyncConnection, *, order_id: str, move: Move, why: str, now: datetime) -> None:
    """End an order of which nothing is paid: what it was funded with goes back. The caller holds its row."""
    version = (await connection.execute(_VERSION, {"id": order_id})).scalar_one()
    data = {"units": str(move.money.units), "wallet": transit(move), "reason": why}
    for event in (E.REFUND_ORDERED, E.REFUND_FINAL):
        step = Step(order_id=order_id, event=event, cause=f"move:{event}:{version}", data=data)
        [done] = await advance(connection, moves=[step], now=now, locked=True)
        assert done.verdict is Verdict.STEPPED, (order_id, event, done)


def arrival(move: Move, *, cause: str, order_id: str) -> Entry:
    """The money is at the rail."""
    there = (
        Transfer(f"rail:{move.to_rail}", EXCHANGE, move.money),
        Transfer(EXCHANGE, transit(move), moving(move.money)),
    )
    return Entry(cause, "move_arrived", there, order_id)


def departure(move: Move, *, cause: str, order_id: str) -> Entry:
    """It isn't there after all: the bank sent it back to who had paid it."""
    gone = tuple(Transfer(one.destination, one.source, one.money) for one in arrival(move, cause="", order_id="").transfers)
    return Entry(cause, "move_returned", gone, order_id)


def coins_arrival(move: Move, *, cause: str) -> Entry:
    """A person's coins are at the exchange: one coin there is one coin that left the treasury, the rest was the fee."""
    give, got = move.give, move.money
    one_for_one = Rate(give.asset, got.asset, 10**got.asset.decimals, 10**give.asset.decimals)
    sold = min(one_for_one.ceil_base(got), give)
    there = (
        Transfer(EXCHANGE, move.from_, sold),
        Transfer(f"rail:{move.to_rail}", EXCHANGE, got),
        Transfer(FEES, move.from_, give - sold),
    )
    return Entry(cause, "coins_moved", there)
