"""The network's addresses."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from adapters.agent_network.simulator.network import Network
from adapters.agent_network.simulator.wire import FORMAT, Claim, Refused

CODES = "/accounts/accountid/{account}/authorisationcodes"
CANCELLED = b'[{"op":"replace","path":"/codeState","value":"cancelled"}]'


def code_routes(network: Network) -> APIRouter:
    """Codes of an account."""
    router = APIRouter(prefix=CODES)

    @router.post("")
    async def create(request: Request, account: str) -> Response:
        return await network.create(request, account)

    @router.get("/{reference}")
    async def show(request: Request, account: str, reference: str) -> Response:
        network.admit(request)
        return network.show(network.by_reference(reference, account))

    @router.post("/{reference}/renewals")
    async def renew(request: Request, account: str, reference: str) -> Response:
        network.admit(request)
        return network.renew(network.by_reference(reference, account))

    @router.patch("/{reference}")
    async def cancel(request: Request, account: str, reference: str) -> Response:
        body = await request.body()
        network.admit(request, body)
        if body != CANCELLED:
            raise Refused(FORMAT)
        return await network.cancel(network.by_reference(reference, account))

    return router


def question_routes(network: Network) -> APIRouter:
    """What else a client asks."""
    router = APIRouter()

    @router.get("/responses/{correlation}")
    async def response(request: Request, correlation: str) -> Response:
        network.admit(request)
        return network.response_of(correlation)

    @router.get("/transactions/{reference}")
    async def transaction(request: Request, reference: str) -> Response:
        network.admit(request)
        return network.transaction(reference)

    @router.get("/accounts/accountid/{account}/balance")
    async def balance(request: Request, account: str) -> Response:
        network.admit(request)
        return network.balance(account)

    return router


def counter_routes(network: Network) -> APIRouter:
    """What an agent does, for whoever plays one."""
    router = APIRouter(prefix="/_sim/claims")

    @router.post("", status_code=201)
    async def claim(claim: Claim) -> dict[str, Any]:
        return network.claim(claim)

    @router.post("/{claim}/confirm")
    async def confirm(claim: str) -> dict[str, Any]:
        return await network.confirm(claim)

    @router.get("")
    async def claims() -> list[dict[str, Any]]:
        return network.desk.shelf.all("claim")

    return router
