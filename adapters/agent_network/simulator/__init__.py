"""A network of cash agents in the shape of the GSMA Mobile Money API 1.2: codes, withdrawals, balance; strict in all of it.

The recipient of a code comes by himself after the simulator's delay. With a delay of 0 nobody comes: then somebody plays the
agent, `POST /_sim/claims` with the code and the amount, and `POST /_sim/claims/{claim}/confirm` once the cash is given.
"""

from __future__ import annotations

from fastapi import Request, Response

from adapters.agent_network.simulator.network import HELD, Network
from adapters.agent_network.simulator.routes import code_routes, counter_routes, question_routes
from adapters.agent_network.simulator.wire import Refused, refusal_answer
from gateway.railsim import Codes, Desk, Options, RailApp, Scenario

ABSENT = frozenset(
    {
        Scenario.TOKEN_EXPIRED,
        Scenario.QUOTE_EXPIRED,
        Scenario.NAME_MISMATCH,
        Scenario.CALLBACK_EARLY,
        Scenario.CALLBACK_TWICE,
        Scenario.CALLBACK_LOST,
        Scenario.CALLBACK_FORGED,
        Scenario.CALLBACK_WRONG_AMOUNT,
        Scenario.CALLBACK_WRONG_ID,
        Scenario.CALLBACK_WRONG_PAYEE,
        Scenario.CALLBACK_UNSIGNED,
        Scenario.CALLBACK_STALE,
    }
)
"""What this contract can't have: keys don't run out, nothing is quoted or looked up, and the network calls nobody."""


def app(options: Options | None = None) -> RailApp:
    """The simulator as an application; served by uvicorn."""
    desk = Desk(
        options=options or Options.from_environment(),
        floats=HELD,
        offers=frozenset(Scenario) - ABSENT,
        codes=Codes(failed="expired", low_float="insufficientFunds"),
    )
    network = Network(desk)
    made = network.app
    for routes in (code_routes, question_routes, counter_routes):
        made.include_router(routes(network))

    async def refused(_request: Request, refusal: Exception) -> Response:
        assert isinstance(refusal, Refused)
        return refusal_answer(refusal.fault)

    made.add_exception_handler(Refused, refused)
    return made
