"""Orders as customers make them, and what their senders then really send."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import psycopg

from gateway.chain.forwarders import factory_address, forwarder_address, salt_of
from gateway.ids import new_id
from gateway.money import Asset
from gateway.offramp import Method
from gateway.simulation.chain import CHAIN_ID, TREASURY, USDC
from gateway.simulation.faults import Dice
from gateway.simulation.rails import KES, TZS, UGX

QUOTE_TTL = timedelta(minutes=15)
DROP_EVERY_S = 900
DROPS = {"KE/KES/bank/economy": timedelta(seconds=DROP_EVERY_S)}
"""How long the slots of economy lanes are."""
RATE_DEN = 1_000_000
PARTNER = "par_simulated"
EXTRA_EVERY = 4
"""One of so many orders comes from a partner with a fee of its own, by a chain and a rail that are paid for."""
LEAST_UNITS = 1_000
"""Below that a deposit is dust."""
FACTORY = factory_address(treasury=TREASURY)


class Lane(NamedTuple):
    """Where some of the orders go."""

    weight: int
    country: str
    method: Method
    asset: Asset
    mid_num: int
    """What one unit of USDC is worth in units of the asset: mid_num / 1,000,000."""
    economy: bool = False


LANES = (
    Lane(40, "KE", Method.MOBILE_MONEY, KES, 12_920),
    Lane(20, "UG", Method.MOBILE_MONEY, UGX, 3_700),
    Lane(15, "TZ", Method.MOBILE_MONEY, TZS, 265_000),
    Lane(15, "KE", Method.BANK, KES, 12_920),
    Lane(10, "KE", Method.BANK, KES, 12_920, economy=True),
)


class Extra(NamedTuple):
    """What some quotes charge for others. Units of the lane's asset."""

    partner_fee: int
    rail_fee: int
    network_fee: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Deal:
    """What an order promises, as its quote has it. Units of USDC and of the lane's asset."""

    order_id: str
    address: str
    send: int
    asset: str
    mid: int
    margin: int
    fee: int
    rounding: int
    receive: int
    expires_at: datetime
    lane: Lane
    extra: Extra | None = None
    """None: it has none of these fees."""


class Transfer(NamedTuple):
    """What a sender will do: so many seconds from now."""

    delay_s: int
    address: str
    units: int


_PARTNER = "INSERT INTO partners (id, name, created_at) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"


@dataclass
class Market:
    """Makes orders in sets."""

    dice: Dice
    database: psycopg.Connection[Any]
    deals: dict[str, Deal] = field(default_factory=dict)
    """What each order promises now."""
    first: dict[str, Deal] = field(default_factory=dict)
    """What each promised first."""
    agreed: dict[str, Deal] = field(default_factory=dict)
    """Other prices that their senders have agreed to, for money that was there already."""
    by_address: dict[str, Deal] = field(default_factory=dict)
    accounts: dict[str, set[str]] = field(default_factory=dict)
    """Where each order may be paid."""
    planned: dict[str, int] = field(default_factory=dict)
    """How many transfers each address gets, now or later."""
    frozen: bool = False
    """Whether the coin is."""

    def make(self, number: int, *, now: datetime) -> list[Deal]:
        """That many orders at once, as `accept_quote` would make them one by one."""
        first = len(self.deals)
        deals = [self._deal(now, extra=(first + place) % EXTRA_EVERY == 0) for place in range(number)]
        rows = [self._rows(deal, now) for deal in deals]
        with self.database.transaction(), self.database.cursor() as cursor:
            cursor.execute(_PARTNER, (PARTNER, PARTNER, now))
            for table in rows[0]:
                cursor.executemany(_insert(table, rows[0][table]), [tuple(row[table].values()) for row in rows])
            self._ways(cursor, deals)
        for deal in deals:
            self.add(deal)
        return deals

    def add(self, deal: Deal) -> None:
        """An order is known from now on."""
        self.accounts.setdefault(deal.order_id, set()).add(f"account of {deal.order_id}")
        self.first[deal.order_id] = self.deals[deal.order_id] = self.by_address[deal.address] = deal

    def agree(self, order_id: str, deal: Deal) -> None:
        """An order has another price from now on."""
        self.agreed[order_id] = self.deals[order_id] = deal

    def quote(self, *, now: datetime) -> tuple[Deal, str]:
        """A quote that nobody has accepted yet, with its id; the order's own names are still to come."""
        deal = self._deal(now, extra=len(self.deals) % EXTRA_EVERY == 0)
        row = self._rows(deal, now)["quotes"]
        with self.database.transaction(), self.database.cursor() as cursor:
            cursor.execute(_PARTNER, (PARTNER, PARTNER, now))
            cursor.execute(_insert("quotes", row), tuple(row.values()))
        return deal, str(row["id"])

    def accepted(self, deal: Deal, *, quote_id: str, order_id: str) -> Deal:
        """It has become this order."""
        address = forwarder_address(factory=FACTORY, salt=salt_of(order_id)).lower()
        self.accounts[order_id] = {f"account of {quote_id}"}
        made = replace(deal, order_id=order_id, address=address)
        self.add(made)
        return made

    def payments(self, deal: Deal) -> list[Transfer]:
        """What the order's sender does: mostly exactly what the quote asks for."""
        due, dice = deal.send, self.dice
        soon = dice.between(1, 240)
        kind = dice.first(
            "deposit_missing",
            "deposit_late",
            "deposit_short",
            "deposit_in_parts",
            "deposit_over",
            "deposit_twice",
            "deposit_dust",
        )
        parts: Sequence[tuple[int, int]] = {
            "deposit_missing": (),
            "deposit_late": ((soon + 900, due),),
            "deposit_short": ((soon, due * dice.between(10, 99) // 100),),
            "deposit_in_parts": ((soon, due // 3), (soon + dice.between(0, 300), due - due // 3)),
            "deposit_over": ((soon, due + dice.between(1, due)),),
            "deposit_twice": ((soon, due), (soon + dice.between(0, 4000), due)),
            "deposit_dust": ((soon, LEAST_UNITS - 1), (soon + 30, due)),
        }.get(kind or "", ((soon, due),))
        self.planned[deal.address] = len(parts)
        return [Transfer(delay_s, deal.address, units) for delay_s, units in parts]

    def _deal(self, now: datetime, *, extra: bool) -> Deal:
        lane = self.dice.random.choices(LANES, weights=[lane.weight for lane in LANES])[0]
        send = self.dice.between(5_000_000, 200_000_000)
        mid = send * lane.mid_num // RATE_DEN
        whole = 10**lane.asset.decimals
        margin = mid // 100
        fee = 10 * whole
        extras = Extra(partner_fee=(mid - margin) // 200, rail_fee=7 * whole, network_fee=3 * whole) if extra else None
        left = mid - margin - fee - sum(extras or ())
        receive = left // whole * whole
        order_id = new_id("ord", now=now)
        return Deal(
            order_id=order_id,
            address=forwarder_address(factory=FACTORY, salt=salt_of(order_id)).lower(),
            send=send,
            asset=lane.asset.code,
            mid=mid,
            margin=margin,
            fee=fee,
            rounding=left - receive,
            receive=receive,
            expires_at=now + QUOTE_TTL,
            lane=lane,
            extra=extras,
        )

    def _rows(self, deal: Deal, now: datetime) -> dict[str, dict[str, object]]:
        quote_id = new_id("quo", now=now)
        quote: dict[str, object] = {
            "id": quote_id,
            "partner_id": deal.extra and PARTNER,
            "created_at": now,
            "expires_at": deal.expires_at,
            "chain_id": CHAIN_ID,
            "send_asset": USDC.code,
            "send_units": deal.send,
            "receive_asset": deal.asset,
            "receive_units": deal.receive,
            "country": deal.lane.country,
            "method": deal.lane.method,
            "mid_num": deal.lane.mid_num,
            "mid_den": RATE_DEN,
            "applied_num": deal.lane.mid_num * 99,
            "applied_den": RATE_DEN * 100,
            "mid_as_of": now,
            "sources": json.dumps(["simulated"]),
            "mid_units": deal.mid,
            "margin_units": deal.margin,
            "fee_units": deal.fee,
            "partner_fee_units": deal.extra.partner_fee if deal.extra else 0,
            "rail_fee_units": deal.extra.rail_fee if deal.extra else 0,
            "network_fee_units": deal.extra.network_fee if deal.extra else 0,
            "rounding_units": deal.rounding,
            "speed": "economy" if deal.lane.economy else "standard",
            "drop_every_s": DROP_EVERY_S if deal.lane.economy else None,
        }
        address: dict[str, object] = {
            "address": deal.address,
            "factory": FACTORY,
            "salt": salt_of(deal.order_id).hex(),
            "owner": deal.order_id,
            "created_at": now,
        }
        order: dict[str, object] = {
            "id": deal.order_id,
            "partner_id": deal.extra and PARTNER,
            "quote_id": quote_id,
            "tracking_token": f"token of {deal.order_id}",
            "state": "awaiting_deposit",
            "version": 0,
            "due_at": deal.expires_at,
            "deposit_address": deal.address,
            "details": "{}",
            "created_at": now,
            "updated_at": now,
        }
        recipient: dict[str, object] = {
            "order_id": deal.order_id,
            "name": "Wanjiku Kamau",
            "account": f"account of {deal.order_id}",
        }
        return {"quotes": quote, "deposit_addresses": address, "orders": order, "recipients": recipient}

    def _ways(self, cursor: psycopg.Cursor[Any], deals: Sequence[Deal]) -> None:
        """Some recipients can be reached otherwise, too."""
        others = {Method.MOBILE_MONEY: Method.BANK, Method.BANK: Method.MOBILE_MONEY}
        ways = [
            (deal.order_id, 1, others[deal.lane.method], f"other account of {deal.order_id}")
            for deal in deals
            if deal.lane.country == "KE" and self.dice.between(0, 2) == 0
        ]
        for order_id, _, _, account in ways:
            self.accounts[order_id] = {account}
        cursor.executemany("INSERT INTO recipient_ways (order_id, rank, method, account) VALUES (%s, %s, %s, %s)", ways)


def _insert(table: str, row: Mapping[str, object]) -> bytes:
    columns, places = ", ".join(row), ", ".join(["%s"] * len(row))
    return f"INSERT INTO {table} ({columns}) VALUES ({places})".encode()  # noqa: S608 - our own names
