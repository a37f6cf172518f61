"""`lastmile costs`: what a remittance costs over everything that is offered, at the present rates."""
# ruff: noqa: PLC0415, FBT002 - commands import what they need when they run; options are keywords on the command line

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.commands.desk import in_transaction
from gateway.commands.place import AsJson, Config, Data
from gateway.errors import Refusal

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from gateway.main import Gateway
    from gateway.money import Money
    from gateway.pricing.costs import Cost, Costed

RATE_DIGITS = 8
SHOWN_DIGITS = 4
TEXTS = ("corridor", "coin")
"""Columns that are no numbers."""

app = typer.Typer()


class BadAmount(Refusal):
    """No amount of US dollars."""

    code = "bad_amount"


@app.command()
def costs(
    amount: Annotated[
        list[str] | None,
        typer.Option("--amount", metavar="USD", help="How many US dollars are sent. Repeatable; else 200 and 500."),
    ] = None,
    as_json: AsJson = False,
    config: Config = None,
    data: Data = None,
) -> None:
    """Print what sending costs, in each corridor, method and coin, at the present rates, and what is left in the hand.

    The percentage is counted as the World Bank's Remittance Prices Worldwide does; target 10.c of the UN's Sustainable
    Development Goals is at most 3 %. A partner's own fee comes on top.
    """
    from gateway.pricing.costs import USUAL, read_costs

    dollars = [_dollars(text) for text in amount or USUAL]

    async def act(connection: AsyncConnection, gateway: Gateway) -> list[Cost]:
        return await read_costs(connection, amounts=dollars, offer=gateway.offer, now=gateway.clock())

    found = in_transaction(config, data, act)
    if as_json:
        typer.echo(json.dumps([_document(cost) for cost in found]))
        return
    for line in _lines(found):
        typer.echo(line)


def _dollars(text: str) -> Money:
    from gateway.money import Money, MoneyError
    from gateway.pricing.exposure import DOLLARS

    try:
        dollars = Money.parse(text, DOLLARS)
    except MoneyError as error:
        raise BadAmount(f"--amount {text}: {error}") from None
    if not dollars.units:
        raise BadAmount(f"--amount {text}: give more than zero")
    return dollars


def _document(cost: Cost) -> dict[str, Any]:
    way = {
        "country": cost.terms.country,
        "currency": cost.terms.currency.code,
        "method": cost.terms.method,
        "speed": cost.speed,
        "chain": cost.token.chain,
        "asset": cost.token.asset.symbol,
        "usd": cost.dollars.decimal(),
    }
    if isinstance(cost.price, Refusal):
        return way | {"price": None, "code": cost.price.code, "why": _why(cost.price)}
    return way | {"price": _price(cost.price)}


def _price(price: Costed) -> dict[str, Any]:
    from gateway.money import decimal_of
    from gateway.pricing.breakdown import SDG_TARGET_PERCENT

    parts = price.parts
    return {
        "send": parts.send.decimal(),
        "mid": decimal_of(price.mid.whole(), digits=RATE_DIGITS),
        "applied": decimal_of(price.applied.whole(), digits=RATE_DIGITS),
        "value": parts.value.decimal(),
        "fees": {fee.kind: fee.amount.decimal() for fee in parts.fees},
        "receive": parts.receive.decimal(),
        "cash_out": parts.cash_out.decimal(),
        "in_hand": parts.in_hand.decimal(),
        "total_cost_percent": parts.cost_percent,
        "sdg_target_percent": SDG_TARGET_PERCENT,
        "within_sdg_target": parts.within_sdg,
    }


def _why(refusal: Refusal) -> str:
    """The sentence for customers and, where there is one, that for operators."""
    from gateway.pricing.consensus import NoRate

    return f"{refusal} ({refusal.detail})" if isinstance(refusal, NoRate) else str(refusal)


def _lines(found: Sequence[Cost]) -> list[str]:
    from gateway.pricing.breakdown import SDG_TARGET_PERCENT

    if not found:
        return ["Nothing is offered: the settings name no coin or no corridor."]
    priced = [(cost, cost.price) for cost in found if not isinstance(cost.price, Refusal)]
    lines = _table([_row(cost, price) for cost, price in priced]) if priced else []
    lines += [f"no price: {', '.join(_way(cost))}: {_why(cost.price)}" for cost in found if isinstance(cost.price, Refusal)]
    within = sum(price.parts.within_sdg for _, price in priced)
    return [*lines, f"{within} of {len(priced)} prices are within the target of SDG 10.c, at most {SDG_TARGET_PERCENT} %"]


def _way(cost: Cost) -> tuple[str, str, str]:
    """Where to, with which coin, and how much."""
    terms, token = cost.terms, cost.token
    corridor = f"{terms.country} {terms.currency.code} {terms.method}"
    return (
        corridor if terms.economy is None else f"{corridor} {cost.speed}",
        f"{token.asset.symbol} on {token.chain}",
        str(cost.dollars),
    )


def _row(cost: Cost, price: Costed) -> dict[str, str]:
    from gateway.money import decimal_of

    parts = price.parts
    corridor, coin, dollars = _way(cost)
    return {
        "corridor": corridor,
        "coin": coin,
        "for": dollars,
        "sent": parts.send.decimal(),
        "rate": decimal_of(price.applied.whole(), digits=SHOWN_DIGITS),
        **{fee.kind.replace("_", " "): fee.amount.decimal() for fee in parts.fees},
        "received": parts.receive.decimal(),
        "cash-out": parts.cash_out.decimal(),
        "in hand": parts.in_hand.decimal(),
        "total %": parts.cost_percent,
        "SDG 10.c": "within" if parts.within_sdg else "above",
    }


def _table(rows: Sequence[dict[str, str]]) -> list[str]:
    """Text to the left, numbers to the right."""
    cells = [list(rows[0]), *(list(row.values()) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    sides = [str.ljust if column in TEXTS else str.rjust for column in rows[0]]
    return ["  ".join(side(text, width) for side, text, width in zip(sides, row, widths, strict=True)) for row in cells]
