"""What a sender can do on an order's page: agree to a new price, and say and prove where money should go back to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gateway.db.session import transaction
from gateway.desk.consent import accept_requote
from gateway.desk.errors import RequoteNotFound
from gateway.desk.ownership import Proof, SignatureRefused, prepare, prove_address
from gateway.desk.requote import Channel, Consent
from gateway.errors import Refusal
from gateway.payouts.queries import order_view
from gateway.payouts.views import OrderView
from gateway.web.guards import read_form
from gateway.web.pages import Pages
from gateway.web.tracker import Tracker

REQUOTE_ID = re.compile(r"[A-Za-z0-9_]{1,64}")
FIELD_MOST = 10_000
"""Longest entry that is looked at, in characters: the signature of a wallet of sixty owners has less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderDesk:
    """Handlers. The order's link is what lets somebody in; where money goes back to takes the sender's signature too."""

    tracker: Tracker

    async def agree(self, request: Request) -> Response:
        """Agree to the new price and go to the page of the order that is paid out now. Posted twice, it goes there again."""
        fields, view = await self._posted(request)
        services = self.tracker.services
        requote_id = fields.get("requote_id", "")
        try:
            if not REQUOTE_ID.fullmatch(requote_id):
                raise RequoteNotFound
            async with transaction(services.engine) as connection:
                agreed = await accept_requote(
                    connection,
                    order_id=view.id,
                    requote_id=requote_id,
                    consent=Consent(channel=Channel.TRACKER),
                    factories=services.factories,
                    now=services.clock(),
                )
                paying = await order_view(connection, now=services.clock(), order_id=agreed.order_id)
        except Refusal as refusal:
            return self._pages.answer("refused.html", status=409, view=view, sentence=str(refusal))
        assert paying is not None
        return RedirectResponse(f"/t/{paying.tracking_token}", status_code=303)

    async def ask_address(self, request: Request) -> Response:
        """The form for a refund address."""
        return self._form(await self.tracker.view(request))

    async def give_address(self, request: Request) -> Response:
        """The text that proves the address, to be signed; or the form again with what is wrong."""
        fields, view = await self._posted(request)
        address = fields.get("address", "").strip()[:FIELD_MOST]
        services = self.tracker.services
        try:
            async with transaction(services.engine) as connection:
                text, proof = await prepare(
                    connection,
                    order_id=view.id,
                    address=address,
                    gateway=services.public_url,
                    wallets=services.wallets,
                    least=services.desk.least,
                    now=services.clock(),
                )
        except Refusal as refusal:
            return self._form(view, address=address, problem=str(refusal))
        return self._to_sign(view, text=text, proof=proof)

    async def prove(self, request: Request) -> Response:
        """Take the signature; then the order's page shows the address."""
        fields, view = await self._posted(request)
        proof = _proof(fields)
        services = self.tracker.services
        if proof is None:
            return self._form(view, address=fields.get("address", "")[:FIELD_MOST])
        try:
            await prove_address(
                services.engine,
                order_id=view.id,
                proof=proof,
                gateway=services.public_url,
                contracts=services.contracts,
                wallets=services.wallets,
                least=services.desk.least,
                now=services.clock(),
            )
        except SignatureRefused as refusal:
            return self._to_sign(view, text=refusal.text, proof=proof, problem=str(refusal))
        except Refusal as refusal:
            return self._form(view, address=proof.address, problem=str(refusal))
        return RedirectResponse(f"/t/{view.tracking_token}", status_code=303)

    @property
    def _pages(self) -> Pages:
        return self.tracker.pages

    async def _posted(self, request: Request) -> tuple[dict[str, str], OrderView]:
        fields = await read_form(request, public_url=self.tracker.services.public_url)
        return fields, await self.tracker.view(request)

    def _form(self, view: OrderView, *, address: str = "", problem: str | None = None) -> Response:
        status = 200 if problem is None else 422
        return self._pages.answer("refund.html", status=status, view=view, address=address, problem=problem)

    def _to_sign(self, view: OrderView, *, text: str, proof: Proof, problem: str | None = None) -> Response:
        status = 200 if problem is None else 422
        return self._pages.answer("sign.html", status=status, view=view, text=text, proof=proof, problem=problem)


def _proof(fields: Mapping[str, str]) -> Proof | None:
    """What the form carried on; None: it was tampered with."""
    try:
        until = datetime.fromtimestamp(int(fields["until"][:20]), UTC)
    except (KeyError, ValueError, OverflowError, OSError):
        return None
    return Proof(
        address=fields.get("address", "").strip()[:FIELD_MOST],
        until=until,
        signature="".join(fields.get("signature", "")[:FIELD_MOST].split()),
    )
