"""The pages, and how they join the application."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from gateway.web import errors
from gateway.web.agent import agent_routes
from gateway.web.another import AnotherWay
from gateway.web.console.routes import console_routes
from gateway.web.forms import Choices
from gateway.web.guards import Front
from gateway.web.pages import Pages
from gateway.web.reader import Reader
from gateway.web.sender import SenderDesk
from gateway.web.sending import Sending
from gateway.web.services import WebServices
from gateway.web.tracker import Tracker

__all__ = ["WebServices", "install"]

ROBOTS = "User-agent: *\nDisallow: /t/\n"


def install(app: FastAPI, services: WebServices) -> None:
    """Let the pages answer whatever no route of `app` does, but for the API's own paths. The order of calls is free.

    The pages are an application of their own, so that their error pages and the API's problem documents stay apart.
    """
    pages = Pages(reader=Reader())
    sending = Sending(services=services, pages=pages, choices=Choices.of(services.offer))
    tracker = Tracker(services=services, pages=pages)
    sender = SenderDesk(tracker=tracker)
    another = AnotherWay(tracker=tracker)
    routes = [
        Route("/", sending.blank, methods=["GET"]),
        Route("/", sending.edit, methods=["POST"]),
        Route("/quote", sending.quote, methods=["POST"]),
        Route("/orders", sending.order, methods=["POST"]),
        # Where a posted page's address is opened anew, there is nothing to show but the beginning.
        Route("/quote", _beginning, methods=["GET"]),
        Route("/orders", _beginning, methods=["GET"]),
        Route("/t/{tracking_token}", tracker.page, methods=["GET"]),
        Route("/t/{tracking_token}/status", tracker.live, methods=["GET"]),
        Route("/t/{tracking_token}/consent", sender.agree, methods=["POST"]),
        Route("/t/{tracking_token}/refund", sender.ask_address, methods=["GET"]),
        Route("/t/{tracking_token}/refund", sender.give_address, methods=["POST"]),
        Route("/t/{tracking_token}/proof", sender.prove, methods=["POST"]),
        Route("/t/{tracking_token}/redirect", another.ask, methods=["GET"]),
        Route("/t/{tracking_token}/redirect", another.give, methods=["POST"]),
        Route("/robots.txt", _robots, methods=["GET"]),
        *console_routes(services=services, pages=pages),
        *(agent_routes(services=services, pages=pages, rules=services.pickups) if services.pickups else ()),
        pages.static_files(),
    ]
    site = Starlette(routes=routes, middleware=[Middleware(GZipMiddleware)], exception_handlers=errors.handlers(pages))
    site.router.redirect_slashes = False  # such a redirect would go to whatever the Host header says
    app.router.default = Front(pages=site, otherwise=app.router.default)


async def _beginning(_request: Request) -> Response:
    return RedirectResponse("/", status_code=303)


async def _robots(_request: Request) -> Response:
    return PlainTextResponse(ROBOTS, headers={"Cache-Control": "public, max-age=86400"})
