"""Money that fits no order: the list, and what can be done with each of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from gateway.chain.forwarders import NO_ADDRESS
from gateway.db.session import transaction
from gateway.desk.judge import Kind, Place, Way
from gateway.desk.requote import RequoteView, newest_requote
from gateway.desk.unmatched import DeskRules, Unmatched, unmatched
from gateway.operators.sessions import Session
from gateway.web.console.door import Door
from gateway.web.console.lists import PAGE

KEY_MOST = 300
"""Characters of a filter or of a place in the list; honest ones have half of that."""

KINDS: Mapping[Kind, str] = {
    Kind.LATE: "Late: after the quote's end",
    Kind.SECOND: "Second: the order had its money already, or was over",
    Kind.SURPLUS: "Surplus: more than was asked for",
    Kind.WRONG_TOKEN: "Another coin than the order asked for",
    Kind.WRONG_CHAIN: "On another chain than the order's",
    Kind.DUST: "Dust: less than counts as a deposit",
    Kind.UNDERPAID: "Underpaid: less than was asked for",
    Kind.FROZEN: "Held, because the coin was frozen",
    Kind.HELD: "Held for another reason",
    Kind.UNSUPPORTED_TOKEN: "A contract that nobody vouches for",
    Kind.NATIVE: "The coin that pays gas",
}
WAYS: Mapping[Way, tuple[str, str]] = {
    Way.REQUOTE: ("requote", "Offer a new price"),
    Way.RELEASE: ("release", "Release"),
    Way.REFUND: ("refund", "Send back"),
    Way.RECOVER: ("recover", "Sweep to the treasury"),
    Way.WRITE_OFF: ("write-off", "Write off"),
    Way.CLOSE: ("close-stray", "Take off the list"),
}
"""Each way's decision, and the words of its link."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One of the list, with the addresses of what can be done."""

    money: Unmatched
    kind: str
    deeds: Mapping[str, str]
    """Words by address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MoneyPages:
    """Handlers."""

    door: Door

    async def page(self, request: Request, session: Session) -> Response:
        """The list, oldest first; of one kind or one order if asked. Of one order also what was offered for it."""
        services, asked = self.door.services, request.query_params
        order_id, after = _clean(asked.get("order", "")), _clean(asked.get("after", ""))
        kind = Kind(asked["kind"]) if asked.get("kind") in list(Kind) else None
        async with transaction(services.engine) as connection:
            found = await unmatched(
                connection, rules=services.desk, order_id=order_id or None, kind=kind, after=after, limit=PAGE + 1
            )
            offered = await newest_requote(connection, order_id=order_id, offer=services.offer) if order_id else None
        return self.door.answer(
            "deposits.html",
            session=session,
            chains={terms.chain_id: terms.name for terms in services.chains},
            rows=[row_of(one, rules=services.desk) for one in found[:PAGE]],
            kinds={kind.value: words for kind, words in KINDS.items()},
            kind=kind,
            order_id=order_id,
            offered=offered if _is_open(offered) else None,
            after=found[PAGE - 1].key if len(found) > PAGE else None,
            now=services.clock(),
        )


def row_of(money: Unmatched, *, rules: DeskRules) -> Row:
    """How the list shows one."""
    contracts = {asset: contract for (_, contract), asset in rules.coins.items()}
    token = contracts.get(money.amount.asset) if money.amount else (money.token or NO_ADDRESS).lower()
    deeds = {_address(way, money, token): WAYS[way][1] for way in money.ways if way is not Way.RECOVER or token is not None}
    return Row(money=money, kind=KINDS[money.kind], deeds=deeds)


def _address(way: Way, money: Unmatched, token: str | None) -> str:
    name = "refund-order" if way is Way.REFUND and money.place is Place.FUNDS else WAYS[way][0]
    coin = f"{money.order_id}/{money.amount.asset.code if money.amount else ''}"
    subjects = {
        Way.RELEASE: money.order_id,
        Way.RECOVER: f"{money.order_id}/{money.chain_id}/{token}",
        Way.CLOSE: f"{money.order_id}/{money.chain_id}/{money.tx_hash}/{money.log_index}",
    }
    return f"/console/decide/{name}/{subjects.get(way, coin)}"


def _is_open(offered: RequoteView | None) -> bool:
    return offered is not None and offered.consent_at is None


def _clean(given: str) -> str:
    """A filter as given; nothing for what can't be one."""
    return given.strip() if len(given) <= KEY_MOST and given.isprintable() else ""
