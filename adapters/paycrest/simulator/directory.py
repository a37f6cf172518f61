"""What can be asked without an order: names, institutions, rates."""

from __future__ import annotations

from fastapi import Request, Response

from adapters.paycrest.countries import COUNTRIES
from adapters.paycrest.simulator import checks
from adapters.paycrest.simulator.books import RATES
from adapters.paycrest.simulator.checks import Refused, success
from gateway.railsim import Desk, Scenario

HOLDER = "NGOZI SIMULATED"
NOBODY = "0000000000"
"""The account number that no bank knows."""
KENYAN = "KE"
"""Fifth and sixth letter of institutions in Kenya, where no names are told."""


class Directory:
    """The public endpoints."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def verify(self, request: Request) -> Response:
        """POST /v2/verify-account."""
        institution, account = checks.verification(await request.body())
        if account == NOBODY:
            raise Refused(400, "Failed to verify account")
        name = "OK" if institution[4:6] == KENYAN else HOLDER
        return success("SOMEBODY ELSE" if self._is_another(account) else name, "Account name was fetched successfully")

    def _is_another(self, account: str) -> bool:
        """Whether the next payment to this account is scripted to another name; that script is used up by it."""
        for facts in ({"account": account}, {"account": f"+{account}"}):
            waiting = next((each for each in self._desk.scripts if each.match.items() <= facts.items()), None)
            if waiting is not None and Scenario.NAME_MISMATCH in waiting:
                self._desk.scripts.take(facts)
                return True
        return False

    async def institutions(self, currency: str) -> Response:
        """GET /v2/institutions/{currency}."""
        listed = [
            {"name": known.name, "code": known.theirs, "type": kind}
            for place in COUNTRIES.values()
            if place.asset.code == currency
            for kind, those in (("bank", place.banks), ("mobile_money", place.wallets))
            for known in those
        ]
        return success(listed, "OK")

    async def rates(self, network: str, token: str, amount: str, fiat: str) -> Response:  # noqa: ARG002 - one rate for all
        """GET /v2/rates/{network}/{token}/{amount}/{fiat}."""
        if fiat not in RATES:
            raise Refused(404, "No provider available for this token")
        side = {"rate": RATES[fiat], "providerIds": ["AbCdEfGh"], "orderType": "regular", "refundTimeoutMinutes": 5}
        return success({"sell": side}, "Rate fetched successfully")
