"""The counter: an agent types the code, sees the amount, claims it, sees whom to pay, and confirms that the cash is given.

The code travels in posted forms only, never in an address. No page's opening changes anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from gateway.agents.accounts import list_agents
from gateway.agents.claim import ClaimWish, claim, look_up
from gateway.agents.claims import RESERVED, find_claim, list_claims
from gateway.agents.confirm import confirm
from gateway.agents.digits import grouped, read_digits
from gateway.agents.errors import NetworkRefusal
from gateway.agents.rules import PickupRules
from gateway.agents.sessions import AgentSession
from gateway.db.session import transaction
from gateway.ids import new_token
from gateway.operators.passwords import Passwords
from gateway.web.agent_door import HOME, SIGN_IN, AgentDoor
from gateway.web.pages import Pages
from gateway.web.services import WebServices

SHOWN_MOST = 50
DOCUMENTS = ("national ID", "passport", "driving licence", "alien ID")


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """The pages behind the door."""

    door: AgentDoor

    async def home(self, _request: Request, session: AgentSession) -> Response:
        """The form for a code, claims that wait for their confirmation, and how far the agent's float goes."""
        return await self._home(session, problem=None, phone="")

    async def look(self, request: Request, session: AgentSession) -> Response:
        """How much a code pays, before anything is claimed."""
        fields = await self.door.posted(request, session)
        wish = self._wish(session, fields, reference="")
        try:
            money = await look_up(self.door.services.engine, wish=wish, rules=self.door.rules, now=self._now)
        except NetworkRefusal as refusal:
            return await self._home(session, problem=str(refusal), phone=wish.phone)
        return self.door.answer(
            "look.html",
            session=session,
            money=money,
            code=read_digits(wish.code),
            shown=grouped(read_digits(wish.code) or ""),
            phone=wish.phone,
            reference=f"counter-{new_token()}",
        )

    async def claim(self, request: Request, session: AgentSession) -> Response:
        """Reserve it. The form's own id makes a second press of the button the same claim."""
        fields = await self.door.posted(request, session)
        wish = self._wish(session, fields, reference=fields.get("reference", ""))
        claimed = await claim(self.door.services.engine, wish=wish, rules=self.door.rules, now=self._now)
        return RedirectResponse(f"{HOME}/claims/{claimed.id}", HTTPStatus.SEE_OTHER)

    async def one(self, request: Request, session: AgentSession) -> Response:
        """A claim of his own: whom to pay how much, and the form that confirms it."""
        return await self._one(request, session, problem=None, number="")

    async def hand_over(self, request: Request, session: AgentSession) -> Response:
        """The cash is given."""
        fields = await self.door.posted(request, session)
        kind, number = fields.get("document", ""), fields.get("number", "")
        try:
            await confirm(
                self.door.services.engine,
                agent_id=session.agent_id,
                claim_id=request.path_params["claim"],
                document=f"{kind} {number}" if kind in DOCUMENTS and number.strip() else "",
                now=self._now,
            )
        except NetworkRefusal as refusal:
            return await self._one(request, session, problem=str(refusal), number=number)
        return RedirectResponse(f"{HOME}/claims/{request.path_params['claim']}", HTTPStatus.SEE_OTHER)

    async def _one(self, request: Request, session: AgentSession, *, problem: str | None, number: str) -> Response:
        async with transaction(self.door.services.engine) as connection:
            found = await find_claim(connection, claim_id=request.path_params["claim"], agent_id=session.agent_id)
        return self.door.answer(
            "claim.html",
            session=session,
            status=HTTPStatus.OK if problem is None else HTTPStatus.CONFLICT,
            claim=found,
            waits=found.state == RESERVED,
            documents=DOCUMENTS,
            problem=problem,
            number=number,
        )

    async def _home(self, session: AgentSession, *, problem: str | None, phone: str) -> Response:
        async with transaction(self.door.services.engine) as connection:
            floats = await list_agents(connection, agent_id=session.agent_id)
            claims = await list_claims(connection, agent_id=session.agent_id, most=SHOWN_MOST)
        return self.door.answer(
            "counter.html",
            session=session,
            status=HTTPStatus.OK if problem is None else HTTPStatus.CONFLICT,
            problem=problem,
            phone=phone,
            floats=[each for each in floats if each.asset is not None],
            claims=claims,
        )

    def _wish(self, session: AgentSession, fields: dict[str, str], *, reference: str) -> ClaimWish:
        return ClaimWish(
            agent_id=session.agent_id,
            agent_reference=reference,
            code=fields.get("code", ""),
            phone=fields.get("phone", ""),
        )

    @property
    def _now(self) -> datetime:
        return self.door.services.clock()


def agent_routes(*, services: WebServices, pages: Pages, rules: PickupRules) -> Sequence[Route]:
    """Every route under /agent."""
    door = AgentDoor(services=services, pages=pages, passwords=Passwords(), rules=rules)
    counter = Counter(door=door)
    return [
        Route(SIGN_IN, door.show, methods=["GET"]),
        Route(SIGN_IN, door.enter, methods=["POST"]),
        Route(f"{HOME}/sign-out", door.behind(door.leave), methods=["POST"]),
        Route(HOME, door.behind(counter.home), methods=["GET"]),
        Route(f"{HOME}/look", door.behind(counter.look), methods=["POST"]),
        Route(f"{HOME}/claims", door.behind(counter.claim), methods=["POST"]),
        Route(f"{HOME}/claims/{{claim}}", door.behind(counter.one), methods=["GET"]),
        Route(f"{HOME}/claims/{{claim}}", door.behind(counter.hand_over), methods=["POST"]),
    ]
