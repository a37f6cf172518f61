"""The network of cash agents under the GSMA Mobile Money API 1.2: authorisation codes, and withdrawals that redeem them.

What a client sees of codes is under /accounts, what an agent does at his counter under /transactions. Refusals are its
error objects. Ours beyond the GSMA's: the word "redeemed", and POST …/renewals for a code that nobody has seen.
"""

import hashlib
import hmac
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import JSONResponse

from gateway.agents.accounts import agent_of, client_of
from gateway.agents.claim import ClaimWish, claim
from gateway.agents.claims import find_claim, find_withdrawal
from gateway.agents.codes import (
    Wish,
    balance_of,
    cancel_code,
    find_code,
    list_codes,
    make_code,
    renew_code,
)
from gateway.agents.confirm import confirm
from gateway.agents.errors import NotYours
from gateway.agents.rules import PickupRules
from gateway.api.agent_documents import (
    CodeBody,
    GsmaRoute,
    PatchBody,
    WithdrawalBody,
    WrongBody,
    balance_document,
    cancels,
    code_document,
    document_shown,
    withdrawal_document,
)
from gateway.api.services import ApiServices
from gateway.db.session import transaction

PREFIX = "/v1/network"
UUID = r"^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$"
CODES = "/accounts/accountid/{account}/authorisationcodes"
AGENT = "agt_"
PAGE_MOST = 100

ClientId = Annotated[str, Header(alias="X-Client-Id", max_length=256)]
Key = Annotated[str, Header(alias="X-API-Key", max_length=256)]
Correlation = Annotated[str, Header(alias="X-CorrelationID", pattern=UUID)]
Limit = Annotated[int, Query(ge=1, le=PAGE_MOST)]
Offset = Annotated[int, Query(ge=0, le=1_000_000)]


async def whole(request: Request) -> None:
    """Where the digest of the body is given, it is the body's. Raises `WrongBody`."""
    given = request.headers.get("x-content-hash")
    if given is not None and not hmac.compare_digest(
        given.lower().encode(), hashlib.sha256(await request.body()).hexdigest().encode()
    ):
        raise WrongBody


def network_router(services: ApiServices, rules: PickupRules) -> APIRouter:
    """Everything under `PREFIX`."""
    router = APIRouter(prefix=PREFIX, tags=["agent network"], route_class=GsmaRoute, dependencies=[Depends(whole)])
    _code_routes(router, services, rules)
    _question_routes(router, services)
    _counter_routes(router, services, rules)
    return router


def _code_routes(router: APIRouter, services: ApiServices, rules: PickupRules) -> None:
    @router.post(CODES, status_code=201)
    async def post_code(account: str, body: CodeBody, client: ClientId, key: Key, correlation: Correlation) -> JSONResponse:
        """A code for exactly this amount, which is held. The answer is the only one that shows the digits."""
        async with transaction(services.engine) as connection:
            wish = Wish(
                client_id=await client_of(connection, client_id=client, key=key),
                account_id=account,
                correlation_id=correlation.lower(),
                amount=body.amount,
                currency=body.currency,
                lifetime=timedelta(seconds=body.codeLifetime),
                **body.who(),
            )
            code, digits = await make_code(connection, wish=wish, rules=rules, now=services.clock())
        return JSONResponse(code_document(code, digits=digits), 201, headers={"Cache-Control": "no-store"})

    @router.post(CODES + "/{reference}/renewals", status_code=201)
    async def post_renewal(account: str, reference: str, client: ClientId, key: Key) -> JSONResponse:
        """Other digits in the place of those of which the answer was lost."""
        async with transaction(services.engine) as connection:
            await client_of(connection, client_id=client, key=key)
            found = await find_code(connection, client_id=client, code_id=reference, now=services.clock())
            if found.account_id != account:
                raise NotYours
            code, digits = await renew_code(
                connection, client_id=client, code_id=reference, rules=rules, now=services.clock()
            )
        return JSONResponse(code_document(code, digits=digits), 201, headers={"Cache-Control": "no-store"})

    @router.patch(CODES + "/{reference}", status_code=204)
    async def patch_code(account: str, reference: str, body: PatchBody, client: ClientId, key: Key) -> Response:
        """Cancel a code that no agent has. The GSMA permits no other change."""
        cancels(body)
        async with transaction(services.engine) as connection:
            await client_of(connection, client_id=client, key=key)
            code = await find_code(connection, client_id=client, code_id=reference, now=services.clock())
            if code.account_id != account:
                raise NotYours
            await cancel_code(connection, client_id=client, code_id=reference, now=services.clock())
        return Response(status_code=204)


def _question_routes(router: APIRouter, services: ApiServices) -> None:
    @router.get(CODES + "/{reference}")
    async def get_code(account: str, reference: str, client: ClientId, key: Key) -> JSONResponse:
        """A code, without its digits."""
        async with transaction(services.engine) as connection:
            await client_of(connection, client_id=client, key=key)
            code = await find_code(connection, client_id=client, code_id=reference, now=services.clock())
        if code.account_id != account:
            raise NotYours
        return JSONResponse(code_document(code))

    @router.get(CODES)
    async def get_codes(
        account: str,
        client: ClientId,
        key: Key,
        state: Annotated[str, Query(alias="codeState", max_length=20)] = "",
        limit: Limit = 50,
        offset: Offset = 0,
    ) -> JSONResponse:
        """The codes of an account, the newest first."""
        async with transaction(services.engine) as connection:
            await client_of(connection, client_id=client, key=key)
            codes = await list_codes(connection, client_id=client, account_id=account, state=state, most=limit, skip=offset)
        return JSONResponse([code_document(each) for each in codes], headers={"X-Records-Returned-Count": str(len(codes))})

    @router.get("/responses/{correlation}")
    async def get_response(correlation: str, client: ClientId, key: Key) -> JSONResponse:
        """Where the code is that a request under this X-CorrelationID made: for whoever lost the answer."""
        async with transaction(services.engine) as connection:
            await client_of(connection, client_id=client, key=key)
            code = await find_code(connection, client_id=client, correlation_id=correlation.lower(), now=services.clock())
        return JSONResponse({"link": f"{CODES.format(account=code.account_id)}/{code.id}"})

    @router.get("/accounts/accountid/{account}/balance")
    async def get_balance(account: str, client: ClientId, key: Key) -> JSONResponse:
        """What is free on an account, and what is held for codes that wait."""
        async with transaction(services.engine) as connection:
            await client_of(connection, client_id=client, key=key)
            free, held = await balance_of(connection, client_id=client, account_id=account)
        return JSONResponse(balance_document(free, held))

    @router.get("/transactions/{reference}")
    async def get_transaction(reference: str, client: ClientId, key: Key) -> JSONResponse:
        """A withdrawal: for the agent who makes it, and once the cash is given for the client whose code it redeemed."""
        async with transaction(services.engine) as connection:
            if client.startswith(AGENT):
                await agent_of(connection, agent_id=client, key=key)
                return JSONResponse(
                    withdrawal_document(await find_claim(connection, claim_id=reference, agent_id=client), to_agent=True)
                )
            await client_of(connection, client_id=client, key=key)
            found = await find_withdrawal(connection, claim_id=reference, client_id=client)
        return JSONResponse(withdrawal_document(found))


def _counter_routes(router: APIRouter, services: ApiServices, rules: PickupRules) -> None:
    @router.post("/transactions/type/withdrawal", status_code=201)
    async def post_withdrawal(body: WithdrawalBody, client: ClientId, key: Key) -> JSONResponse:
        """Claim a code: it is reserved for this agent, who is told whom to pay. No cash yet; confirm by PATCH."""
        async with transaction(services.engine) as connection:
            agent_id = await agent_of(connection, agent_id=client, key=key)
        wish = ClaimWish(
            agent_id=agent_id,
            agent_reference=body.requestingOrganisationTransactionReference,
            code=body.oneTimeCode,
            phone=body.phone(),
            amount=body.amount,
            currency=body.currency,
        )
        claimed = await claim(services.engine, wish=wish, rules=rules, now=services.clock())
        return JSONResponse(withdrawal_document(claimed, to_agent=True), 201, headers={"Cache-Control": "no-store"})

    @router.patch("/transactions/{reference}", status_code=204)
    async def patch_withdrawal(reference: str, body: PatchBody, client: ClientId, key: Key) -> Response:
        """The cash is given: transactionStatus becomes completed, with the document that the recipient showed."""
        async with transaction(services.engine) as connection:
            agent_id = await agent_of(connection, agent_id=client, key=key)
        await confirm(
            services.engine,
            agent_id=agent_id,
            claim_id=reference,
            document=document_shown(body),
            now=services.clock(),
        )
        return Response(status_code=204)
