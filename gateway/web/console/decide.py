"""Every decision takes the same three steps: look at what it is about, give the reason, confirm. Then it is carried out.

What a person saw travels with the form: if it is no longer so when they confirm, they look again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus

from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gateway.db.session import transaction
from gateway.errors import Refusal
from gateway.money import MoneyError
from gateway.operators.actions import REASON_MOST, ReasonMissing
from gateway.operators.sessions import Session
from gateway.web.console.door import Door
from gateway.web.services import WebServices

Facts = Mapping[str, str]
"""What a decision is about, as a person reads it: label and value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """Something that a decision asks for beside its reason."""

    name: str
    label: str
    hint: str = ""
    options: Mapping[str, str] | None = None
    """Values to choose from and their words; None: any text."""
    required: bool = True
    most: int = 500
    """Characters of a text."""
    lines: int = 1
    """How many of it show at once."""
    kind: str = "text"
    """As HTML has it: "text", "datetime-local"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """A decision that is being carried out, in one transaction."""

    connection: AsyncConnection
    services: WebServices
    subject: str
    fields: Mapping[str, str]
    operator: str
    reason: str
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One kind of decision."""

    title: str
    effect: str
    """What will happen, in sentences."""
    button: str
    look: Callable[[AsyncConnection, WebServices, str], Awaitable[Facts | None]]
    """What the subject of this name is now; None: there is no such thing to decide about."""
    carry_out: Callable[[Deed], Awaitable[object]]
    """Does it and records who did, in the deed's transaction. Raises `Refusal`."""
    inputs: tuple[Input, ...] = ()


class InputMissing(Refusal):
    """Something that the decision needs was left out."""

    code = "input_missing"

    def __init__(self, label: str) -> None:
        super().__init__(f'"{label}" is needed.')


class LookedOtherwise(Refusal):
    """What the decision is about has changed since the person looked at it."""

    code = "looked_otherwise"

    def __init__(self) -> None:
        super().__init__("This has changed since you looked at it. Look again, then decide.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deciding:
    """Handlers. Nothing is changed by looking; a decision is carried out by a confirmed post only."""

    door: Door
    decisions: Mapping[str, Decision]

    async def ask(self, request: Request, session: Session) -> Response:
        """The form."""
        decision, subject = self._chosen(request)
        async with transaction(self.door.services.engine) as connection:
            facts = await self._look(connection, decision, subject)
        return self._form(session, decision, facts, fields={})

    async def answer(self, request: Request, session: Session) -> Response:
        """The form again with what is wrong; or the question whether to do it; or, confirmed, the deed and its record."""
        decision, subject = self._chosen(request)
        fields = await self.door.posted(request, session)
        try:
            async with transaction(self.door.services.engine) as connection:
                facts = await self._look(connection, decision, subject)
                _check(decision, fields, facts)
                if "confirmed" not in fields:
                    return self._page("confirm.html", session, decision, facts, fields=fields)
                await decision.carry_out(self._deed(connection, session, subject, fields))
        except (Refusal, MoneyError) as refusal:
            return self._form(session, decision, facts, fields=fields, problem=str(refusal))
        return RedirectResponse("/console/actions?done=1", HTTPStatus.SEE_OTHER)

    def _chosen(self, request: Request) -> tuple[Decision, str]:
        decision = self.decisions.get(request.path_params["kind"])
        if decision is None:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        return decision, request.path_params["subject"]

    async def _look(self, connection: AsyncConnection, decision: Decision, subject: str) -> Facts:
        facts = None if "\0" in subject else await decision.look(connection, self.door.services, subject)
        if facts is None:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        return facts

    def _deed(self, connection: AsyncConnection, session: Session, subject: str, fields: Mapping[str, str]) -> Deed:
        return Deed(
            connection=connection,
            services=self.door.services,
            subject=subject,
            fields={wanted: fields[wanted].strip() for wanted in fields},
            operator=session.operator,
            reason=fields["reason"],
            now=self.door.services.clock(),
        )

    def _form(
        self,
        session: Session,
        decision: Decision,
        facts: Facts,
        *,
        fields: Mapping[str, str],
        problem: str | None = None,
    ) -> Response:
        status = HTTPStatus.OK if problem is None else HTTPStatus.CONFLICT
        return self._page("decide.html", session, decision, facts, fields=fields, problem=problem, status=status)

    def _page(
        self, template: str, session: Session, decision: Decision, facts: Facts, *, status: int = 200, **context: object
    ) -> Response:
        return self.door.answer(
            template,
            session=session,
            status=status,
            decision=decision,
            facts=facts,
            seen=seen(facts),
            reason_most=REASON_MOST,
            **context,
        )


def seen(facts: Facts) -> str:
    """A mark of what was seen."""
    return hashlib.sha256(repr(sorted(facts.items())).encode(errors="replace")).hexdigest()


def _check(decision: Decision, fields: Mapping[str, str], facts: Facts) -> None:
    """Raises `LookedOtherwise`, `InputMissing` and `ReasonMissing`; the rest is for the deed itself to judge."""
    if fields.get("seen") != seen(facts):
        raise LookedOtherwise
    for wanted in decision.inputs:
        given = fields.get(wanted.name, "").strip()
        if (wanted.required and not given) or (given and wanted.options is not None and given not in wanted.options):
            raise InputMissing(wanted.label)
    if not fields.get("reason", "").strip():
        raise ReasonMissing
