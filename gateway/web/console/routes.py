"""The console's addresses. All but the sign-in form stand behind the door."""

from __future__ import annotations

from starlette.routing import Route

from gateway.operators.passwords import Passwords
from gateway.web.console.decide import Deciding
from gateway.web.console.decisions import DECISIONS
from gateway.web.console.door import HOME, SIGN_IN, Door
from gateway.web.console.floats import FloatPages
from gateway.web.console.lists import Lists
from gateway.web.console.money import MoneyPages
from gateway.web.console.overview import Overview
from gateway.web.console.payouts import PayoutPages
from gateway.web.console.rails import RailPages
from gateway.web.pages import Pages
from gateway.web.services import WebServices


def console_routes(*, services: WebServices, pages: Pages) -> list[Route]:
    """Every route under /console."""
    door = Door(services=services, pages=pages, passwords=Passwords())
    overview, lists, money = Overview(door=door), Lists(door=door), MoneyPages(door=door)
    payouts, floats = PayoutPages(door=door), FloatPages(door=door)
    deciding = Deciding(door=door, decisions=DECISIONS)
    decide = f"{HOME}/decide/{{kind}}/{{subject:path}}"
    return [
        Route(SIGN_IN, door.show, methods=["GET"]),
        Route(SIGN_IN, door.enter, methods=["POST"]),
        Route(f"{HOME}/sign-out", door.behind(door.leave), methods=["POST"]),
        Route(HOME, door.behind(overview.page), methods=["GET"]),
        Route(f"{HOME}/deposits", door.behind(money.page), methods=["GET"]),
        Route(f"{HOME}/floats", door.behind(floats.page), methods=["GET"]),
        Route(f"{HOME}/payouts", door.behind(payouts.page), methods=["GET"]),
        Route(f"{HOME}/payouts/{{subject}}", door.behind(payouts.one), methods=["GET"]),
        Route(f"{HOME}/payouts/{{attempt}}/files", door.behind(payouts.keep), methods=["POST"]),
        Route(f"{HOME}/payouts/{{attempt}}/files/{{number:int}}", door.behind(payouts.file), methods=["GET"]),
        Route(f"{HOME}/rails", door.behind(RailPages(door=door).page), methods=["GET"]),
        Route(f"{HOME}/incidents", door.behind(lists.incidents), methods=["GET"]),
        Route(f"{HOME}/actions", door.behind(lists.actions), methods=["GET"]),
        Route(decide, door.behind(deciding.ask), methods=["GET"]),
        Route(decide, door.behind(deciding.answer), methods=["POST"]),
    ]
