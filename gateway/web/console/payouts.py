"""Payouts that need a person: the list, and all that is known of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gateway.db.session import transaction
from gateway.operators.sessions import Session
from gateway.payouts.attention import Which, list_attempts
from gateway.payouts.casework import AttemptCase
from gateway.payouts.dossier import AttemptFile, Dossier, ResolutionView, dossier
from gateway.payouts.errors import BadFile
from gateway.payouts.files import SIZE_MOST, NewFile, add_file, read_file
from gateway.payouts.holds import LIFT, REDIRECT, REFUND, RELEASE, REQUOTE, HeldOrder, held_orders
from gateway.web.console.choices import read_choices
from gateway.web.console.door import HEADERS, Door
from gateway.web.console.lists import PAGE
from gateway.web.console.payout_looks import evidence_facts, facts_of
from gateway.web.services import WebServices

PAYOUTS = "/console/payouts"
ID_MOST = 100
"""Characters of an id in an address; ours have a third of that."""
WHICH: Mapping[Which, str] = {
    Which.UNKNOWN: "Nobody knows what became of them",
    Which.OVERDUE: "They take too long",
    Which.PROPOSED: "Evidence waits for a second person",
    Which.OWED: "Paid in part, the rest is owed",
    Which.PENDING: "Their rail has them",
    Which.FAILED: "They failed",
}
DEEDS: Mapping[str, tuple[str, str]] = {
    RELEASE: ("release/{order}", "Release"),
    REDIRECT: ("redirect/{order}", "Pay by another way"),
    REFUND: ("refund-order/{order}/{asset}", "Send the money back"),
    REQUOTE: ("requote/{order}/{asset}", "Offer a new price"),
    LIFT: ("lift-freeze/{asset}", "Take the coin again"),
}
"""By the command that does the same: the decision's address under /console/decide, and the words of its link."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldRow:
    """A held order, with the addresses of what can be done."""

    order: HeldOrder
    deeds: Mapping[str, str]
    """Words by address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolutionRow:
    """What a person said, and what another can do with it."""

    resolution: ResolutionView
    facts: Mapping[str, str]
    deeds: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRow:
    """An attempt with all that was said of it."""

    attempt: AttemptFile
    facts: Mapping[str, str]
    resolutions: tuple[ResolutionRow, ...]
    deeds: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class PayoutPages:
    """Handlers."""

    door: Door

    @property
    def _services(self) -> WebServices:
        return self.door.services

    async def page(self, request: Request, session: Session) -> Response:
        """Attempts that need a person, of one kind if asked, and held orders; the oldest first."""
        asked = request.query_params
        which = Which(asked["which"]) if asked.get("which") in list(Which) else None
        after, held_after = _clean(asked.get("after", "")), _clean(asked.get("held_after", ""))
        now = self._services.clock()
        async with transaction(self._services.engine) as connection:
            lines = await list_attempts(
                connection, rules=self._services.payouts, now=now, which=which, after=after, most=PAGE + 1
            )
            held = await held_orders(connection, after=held_after, most=PAGE + 1)
        return self.door.answer(
            "payouts.html",
            session=session,
            kinds={kind.value: words for kind, words in WHICH.items()},
            which=which,
            lines=lines[:PAGE],
            after=lines[PAGE - 1].attempt_id if len(lines) > PAGE else None,
            held=[HeldRow(order=one, deeds=_held_deeds(one)) for one in held[:PAGE]],
            held_after=held[PAGE - 1].order_id if len(held) > PAGE else None,
            now=now,
        )

    async def one(self, request: Request, session: Session) -> Response:
        """All that is known of an order, by its id or by an attempt's."""
        scene = await self._services.scenes.at(self._services.engine, now=self._services.clock())
        async with transaction(self._services.engine) as connection:
            subject = request.path_params["subject"]
            found = None if _clean(subject) != subject else await dossier(connection, subject=subject)
            if found is None:
                raise HTTPException(HTTPStatus.NOT_FOUND)
            held = await held_orders(connection, order_id=found.order_id)
            choices = await read_choices(connection, self._services, order_id=found.order_id, scene=scene)
        return self.door.answer(
            "payout.html",
            session=session,
            found=found,
            held=[HeldRow(order=one, deeds=_held_deeds(one)) for one in held],
            deeds=_order_deeds(found),
            attempts=[self._row(one, session) for one in reversed(found.attempts)],
            choices=choices,
            size_most=SIZE_MOST,
        )

    async def keep(self, request: Request, session: Session) -> Response:
        """Keep a file as evidence."""
        attempt_id = request.path_params["attempt"]
        fields, file = await self.door.uploaded(request, session, most=SIZE_MOST)
        if file is None or not file[0] or "\0" in attempt_id:
            raise BadFile("choose a file", field="file")
        async with transaction(self._services.engine) as connection:
            await add_file(
                connection,
                attempt_id=attempt_id,
                file=NewFile(name=file[0], content=file[1]),
                operator=session.operator,
                reason=fields.get("reason", ""),
                now=self._services.clock(),
            )
        return RedirectResponse(f"{PAYOUTS}/{quote(attempt_id)}#{quote(attempt_id)}", HTTPStatus.SEE_OTHER)

    async def file(self, request: Request, _session: Session) -> Response:
        """A file that was kept, to be saved: never shown here, whatever is in it."""
        number, attempt_id = request.path_params["number"], request.path_params["attempt"]
        async with transaction(self._services.engine) as connection:
            fits = "\0" not in attempt_id and number < 1 << 63
            found = await read_file(connection, attempt_id=attempt_id, file_id=number) if fits else None
        if found is None:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        disposition = f"attachment; filename*=UTF-8''{quote(found.name, safe='')}"
        headers = {**HEADERS, "Content-Disposition": disposition}
        return Response(found.content, media_type="application/octet-stream", headers=headers)

    def _row(self, attempt: AttemptFile, session: Session) -> AttemptRow:
        case = attempt.case
        return AttemptRow(
            attempt=attempt,
            facts={**facts_of(case), "Its rail said": case.reason or "nothing"},
            resolutions=tuple(
                ResolutionRow(resolution=one, facts=evidence_facts(one), deeds=_resolution_deeds(one, session.operator))
                for one in reversed(attempt.resolutions)
            ),
            deeds=_attempt_deeds(case),
        )


def _held_deeds(held: HeldOrder) -> dict[str, str]:
    places = {"order": held.order_id, "asset": held.funds.asset.code}
    deeds = [DEEDS[way] for way in held.ways]
    return {f"/console/decide/{address.format_map(places)}": words for address, words in deeds}


def _order_deeds(found: Dossier) -> dict[str, str]:
    return {f"/console/decide/hold/{found.order_id}": "Hold it before it is sent"} if found.state == "funded" else {}


def _attempt_deeds(case: AttemptCase) -> dict[str, str]:
    """What a person can say of it; what is offered may still be refused, for its time or its state."""
    address = f"/console/decide/{{}}/{case.attempt_id}"
    deeds = {address.format("resolve"): "Say what became of it"} if case.closed_at is None or case.outcome == "paid" else {}
    return {**deeds, address.format("discharge"): "The rest has been paid"} if case.owed.units else deeds


def _resolution_deeds(one: ResolutionView, operator: str) -> dict[str, str]:
    if one.outcome not in ("open", "void"):
        return {}
    refuse = {f"/console/decide/refuse-evidence/{one.id}": "Withdraw it" if one.proposed_by == operator else "Refuse it"}
    if one.outcome == "void" or one.proposed_by == operator:
        return refuse
    return {f"/console/decide/approve-evidence/{one.id}": "Approve it", **refuse}


def _clean(given: str) -> str:
    """An id as given; nothing for what can't be one."""
    return given if len(given) <= ID_MOST and given.isprintable() else ""
