"""The composition root: settings become engine, rails, offer, pages, API and loops. Nothing below reads the settings."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import psycopg
import structlog
import uvicorn
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.agents.codes import expire_codes
from gateway.agents.rules import PickupRules
from gateway.api.routes import install as install_api
from gateway.api.services import ApiServices
from gateway.chain.oracle import ConnectingReader
from gateway.chain.ownership import Contracts
from gateway.chain.terms import ChainTerms
from gateway.chains import leg_loops, reconcile_loop, sending_loops, watch_loops
from gateway.clock import Clock, system_clock
from gateway.config import ConfigError, Settings, secret_file
from gateway.db.embedded import Server, start
from gateway.db.faults import passes
from gateway.db.migrate import migrate
from gateway.db.session import make_engine, transaction
from gateway.desk.unmatched import DeskRules
from gateway.fills.clients import FillKey
from gateway.fills.offers import expire_offers
from gateway.ledger.post import register_assets
from gateway.orders.deadlines import keep_deadlines
from gateway.orders.depegged import hold_depegged_orders
from gateway.orders.frozen import hold_frozen_orders
from gateway.orders.funding import book_deposits
from gateway.partners.tokens import TokenIssuer, TokenVerifier, new_key_pem
from gateway.payouts.addresses import CallbackAddresses
from gateway.payouts.arrivals import make_inbox_engine
from gateway.payouts.backlog import BacklogPlanner
from gateway.payouts.dispatch import dispatch
from gateway.payouts.evidence import ResolutionRules
from gateway.payouts.inbox import handle_callbacks
from gateway.payouts.poll import poll
from gateway.payouts.rails import Rails
from gateway.payouts.weather import watch_weather
from gateway.pricing.offer import Offer
from gateway.pricing.refresh import refresh_rates
from gateway.pricing.rounds import make_round
from gateway.pricing.sources import RateSource
from gateway.process import listen, told_to_stop, tune_collector
from gateway.refunds.wallets import Wallets
from gateway.routing.decisions import Keeper, prune
from gateway.routing.delivery import Outlooks
from gateway.routing.learn import learn
from gateway.routing.scene import Scene, Scenes
from gateway.sagas.step import step as drive_legs
from gateway.sagas.wallets import LegWallets
from gateway.treasury.floats import keep_floats
from gateway.treasury.outlook import FloatBook
from gateway.treasury.running import run_moves
from gateway.web.routes import install as install_web
from gateway.web.services import WebServices
from gateway.wiring import (
    chain_terms,
    least_deposits,
    make_factories,
    make_float_book,
    make_leg_wallets,
    make_memory,
    make_offer,
    make_rails,
    make_scene,
    make_sources,
    make_wallets,
)
from gateway.worker.loops import Loop, Worker

log = structlog.get_logger()

CALLBACK_KEY_BYTES = 32
DISPATCHERS = 3
BACKLOG_EVERY = timedelta(seconds=5)
DEADLINES_EVERY = timedelta(seconds=2)
FLOATS_EVERY = timedelta(minutes=15)
MOVES_EVERY = timedelta(seconds=5)
MARKET_EVERY = timedelta(seconds=10)
LEARN_EVERY = timedelta(seconds=15)
PRUNED_EVERY = timedelta(hours=1)
RATES_EVERY_MOST = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """Everything a process works with."""

    settings: Settings
    database_url: str
    engine: AsyncEngine
    inbox: AsyncEngine
    """Connections that only callbacks use."""
    rails: Rails
    offer: Offer
    outlooks: Outlooks = field(default_factory=lambda: Outlooks(scene=Scene(capabilities={})))
    """What this process knows of how its rails do."""
    scenes: Scenes = field(default_factory=lambda: Scenes(scene=Scene(capabilities={})))
    """What this process's choices of rails look at."""
    chains: tuple[ChainTerms, ...]
    factories: Mapping[int, str]
    sources: tuple[RateSource, ...]
    addresses: CallbackAddresses
    issuer: TokenIssuer
    verifier: TokenVerifier
    wallets: Wallets
    leg_wallets: LegWallets
    floats: FloatBook
    desk: DeskRules
    contracts: Contracts
    resolutions: ResolutionRules
    """When people may settle what a rail leaves unknown, and how many it takes."""
    clock: Clock
    pickups: PickupRules | None = None
    """Limits of our own network of cash agents, and the key of its codes."""
    fills: FillKey | None = None
    """The key of the secrets of gateways that offer payouts to partners."""


def open_database(settings: Settings, *, data: Path) -> tuple[str, Server | None]:
    """The URL of the database, started under the data folder if none is configured, and migrated."""
    server = None if settings.database.url else start(folder=data / "postgres")
    url = settings.database.url.get_secret_value() if settings.database.url else server.url  # type: ignore[union-attr]
    migrate(url)
    return url, server


def close_database(server: Server) -> None:
    """Stop our own server, unless another process still uses it."""
    with psycopg.connect(server.url) as connection:
        others = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        ).fetchone()
    if others == (0,):
        server.stop()


@asynccontextmanager
async def open_gateway(
    settings: Settings, *, data: Path, database_url: str, clock: Clock = system_clock
) -> AsyncIterator[Gateway]:
    """Build everything; close it at the end. Raises `ConfigError` for what doesn't fit together."""
    callback_key = secret_file(
        path=data / "keys" / "callback.key", make=lambda: secrets.token_hex(CALLBACK_KEY_BYTES).encode()
    )
    token_key_file = settings.server.token_key_file or data / "keys" / "token.pem"
    token_key = secret_file(path=token_key_file, make=lambda: new_key_pem().encode()).decode()
    public_url = settings.server.public_url
    addresses = CallbackAddresses(public_url=public_url, key=callback_key)
    issuer = TokenIssuer(key_pem=token_key, issuer=public_url, audience=public_url)
    async with AsyncExitStack() as stack:
        rails = make_rails(settings, addresses=addresses, clock=clock)
        stack.push_async_callback(rails.close)
        engine = make_engine(database_url)
        stack.push_async_callback(engine.dispose)
        inbox = make_inbox_engine(database_url)
        stack.push_async_callback(inbox.dispose)
        scene = make_scene(settings, rails)
        outlooks = Outlooks(scene=scene)
        offer = replace(make_offer(settings, rails), deliveries=outlooks)
        chains = tuple(chain_terms(chain) for chain in settings.chains)
        wallets = make_wallets(settings)
        contracts = Contracts(chains)
        readers = {terms.name: ConnectingReader(terms) for terms in chains}
        for close in (contracts.close, *(reader.close for reader in readers.values())):
            stack.push_async_callback(close)
        await _register(engine, offer)
        yield Gateway(
            settings=settings,
            database_url=database_url,
            engine=engine,
            inbox=inbox,
            rails=rails,
            offer=offer,
            outlooks=outlooks,
            scenes=Scenes(scene=scene),
            chains=chains,
            factories=make_factories(settings),
            sources=make_sources(settings, rails=rails, readers=readers),
            addresses=addresses,
            issuer=issuer,
            verifier=TokenVerifier(public_keys=issuer.public_keys(), issuer=public_url, audience=public_url),
            wallets=wallets,
            leg_wallets=make_leg_wallets(settings, wallets=wallets),
            floats=make_float_book(settings, rails=rails, offer=offer, wallets=wallets),
            desk=_desk_rules(settings, chains=chains, offer=offer),
            contracts=contracts,
            resolutions=ResolutionRules.of(
                above=settings.payouts.two_persons_above, offer=offer, capabilities=rails.capabilities
            ),
            clock=clock,
            pickups=_pickup_rules(settings, data=data),
            fills=FillKey(key=_key(data, "fills")),
        )


async def _register(engine: AsyncEngine, offer: Offer) -> None:
    """Let the books know every coin and currency. Raises `DecimalsChanged`."""
    tokens = (token.asset for token in offer.tokens.values())
    async with transaction(engine) as connection:
        await register_assets(connection, assets=[*tokens, *(terms.currency for terms in offer.corridors.values())])


def _desk_rules(settings: Settings, *, chains: tuple[ChainTerms, ...], offer: Offer) -> DeskRules:
    swept = frozenset(chain.chain_id for chain in settings.chains if chain.sweep is not None)
    return DeskRules.of(chains=chains, offer=offer, least=least_deposits(settings), swept=swept)


def _pickup_rules(settings: Settings, *, data: Path) -> PickupRules:
    agents = settings.agents
    return PickupRules(
        key=_key(data, "pickup"),
        lifetime_most=timedelta(days=agents.code_days_most),
        wrong_per_agent=agents.wrong_per_agent,
        wrong_per_code=agents.wrong_per_code,
    )


def _key(data: Path, name: str) -> bytes:
    """A key of our own, made at the first start."""
    return secret_file(path=data / "keys" / f"{name}.key", make=lambda: secrets.token_hex(CALLBACK_KEY_BYTES).encode())


def make_app(gateway: Gateway) -> FastAPI:
    """API and pages."""
    app = FastAPI(title="Lastmile", version="1")
    install_web(
        app,
        WebServices(
            engine=gateway.engine,
            offer=gateway.offer,
            factories=gateway.factories,
            public_url=gateway.settings.server.public_url,
            clock=gateway.clock,
            chains=gateway.chains,
            desk=gateway.desk,
            wallets=gateway.wallets,
            contracts=gateway.contracts,
            payouts=gateway.resolutions,
            outlooks=gateway.outlooks,
            rails=gateway.rails,
            scenes=gateway.scenes,
            pickups=gateway.pickups,
            floats=gateway.floats,
        ),
    )
    metrics_token = gateway.settings.server.metrics_token
    install_api(
        app,
        ApiServices(
            engine=gateway.engine,
            offer=gateway.offer,
            factories=gateway.factories,
            rails=gateway.rails,
            addresses=gateway.addresses,
            issuer=gateway.issuer,
            verifier=gateway.verifier,
            public_url=gateway.settings.server.public_url,
            clock=gateway.clock,
            wallets=gateway.wallets,
            chains=gateway.chains,
            inbox=gateway.inbox,
            metrics_token=metrics_token.get_secret_value() if metrics_token else None,
            pickups=gateway.pickups,
            scenes=gateway.scenes,
            fills=gateway.fills,
        ),
    )
    return app


def make_worker(gateway: Gateway, *, only: frozenset[str] = frozenset()) -> Worker:
    """The loops: all of them, or the groups named: chains, keys, rates, orders, payouts, treasury."""
    engine, rails, clock = gateway.engine, gateway.rails, gateway.clock
    drops, memory, scenes, keeper = gateway.offer.drops(), make_memory(gateway.settings), gateway.scenes, Keeper()
    planner = BacklogPlanner(engine=engine, rails=rails, scenes=scenes, clock=clock)
    decisions_for = timedelta(days=gateway.settings.routing.decisions_days)
    groups: dict[str, list[Loop]] = {
        "chains": watch_loops(gateway.settings, engine=engine, clock=clock, wallets=gateway.wallets),
        "keys": [
            *sending_loops(gateway.settings, engine=engine, clock=clock, wallets=gateway.wallets),
            *leg_loops(gateway.settings, engine=engine, clock=clock, rails=rails, wallets=gateway.leg_wallets),
        ],
        "rates": [
            _rates_loop(gateway),
            Loop("market", lambda: make_round(engine, offer=gateway.offer, now=clock()), idle=MARKET_EVERY, wakes=False),
        ],
        "orders": [
            Loop("deposits", lambda: book_deposits(engine, least=gateway.desk.least, now=clock())),
            Loop("frozen", lambda: hold_frozen_orders(engine, now=clock())),
            Loop("depegged", lambda: hold_depegged_orders(engine, now=clock()), idle=DEADLINES_EVERY),
            Loop("deadlines", lambda: keep_deadlines(engine, now=clock()), idle=DEADLINES_EVERY, wakes=False),
            Loop("codes", lambda: expire_codes(engine, now=clock()), idle=DEADLINES_EVERY, wakes=False),
            Loop("offers", lambda: expire_offers(engine, now=clock()), idle=DEADLINES_EVERY, wakes=False),
        ],
        "payouts": [
            # Several, so that one slow rail doesn't keep the others' orders waiting for their next set.
            *(
                Loop(
                    f"dispatch:{n}",
                    lambda: dispatch(engine, rails=rails, clock=clock, drops=drops, scenes=scenes, keeper=keeper),
                )
                for n in range(DISPATCHERS)
            ),
            Loop("backlog", planner.step, idle=BACKLOG_EVERY, wakes=False),
            Loop(
                "decisions",
                lambda: prune(engine, keep_for=decisions_for, now=clock()),
                idle=PRUNED_EVERY,
                wakes=False,
            ),
            Loop("poll", lambda: poll(engine, rails=rails, clock=clock)),
            Loop("legs", lambda: drive_legs(engine, rails=rails, clock=clock)),
            Loop("callbacks", lambda: handle_callbacks(engine, rails=rails, clock=clock)),
            Loop("learn", lambda: learn(engine, clock=clock, memory=memory), idle=LEARN_EVERY, wakes=False),
            Loop("weather", lambda: watch_weather(engine, rails=rails, clock=clock), idle=LEARN_EVERY, wakes=False),
        ],
        "treasury": [
            reconcile_loop(gateway.settings, engine=engine, clock=clock, rails=rails, wallets=gateway.wallets),
            *_float_loops(gateway),
        ],
    }
    if unknown := only - groups.keys():
        raise ConfigError([("--only", f"{', '.join(sorted(unknown))}: no such group; there are: {', '.join(groups)}")])
    loops = [loop for name, group in groups.items() if not only or name in only for loop in group]
    return Worker(loops=tuple(loops), database_url=gateway.database_url)


def _float_loops(gateway: Gateway) -> list[Loop]:
    engine, rails, book, clock = gateway.engine, gateway.rails, gateway.floats, gateway.clock
    return [
        Loop("floats", lambda: keep_floats(engine, rails=rails, book=book, clock=clock), idle=FLOATS_EVERY, wakes=False),
        Loop("moves", lambda: run_moves(engine, rails=rails, clock=clock), idle=MOVES_EVERY, wakes=False),
    ]


def _rates_loop(gateway: Gateway) -> Loop:
    async def step() -> int:
        refreshed = await refresh_rates(gateway.engine, sources=gateway.sources, now=gateway.clock())
        for fault in refreshed.faults:
            log.warning("rate_source_failed", reason=str(fault))
        # What these prices stop is stopped from now on: deposits are judged by it (gateway.orders.depegged).
        await make_round(gateway.engine, offer=gateway.offer, now=gateway.clock())
        return 0

    idle = min(gateway.offer.rules.max_age / 4, RATES_EVERY_MOST)
    return Loop("rates", step, idle=idle, wakes=False)


async def run(gateway: Gateway, *, serve: bool, work: bool, only: frozenset[str] = frozenset()) -> None:
    """Serve pages and API, run the loops, or both, until the process is told to stop (SIGINT, SIGTERM).

    Raises `ConfigError` if the address can't be listened on.
    """
    listener = listen(gateway.settings) if serve else None
    tune_collector()
    async with asyncio.TaskGroup() as group:
        if work:
            worker = group.create_task(make_worker(gateway, only=only).run())
        if listener:
            looking = group.create_task(_keep_looking(gateway))
            await _serve(gateway, listener)
            looking.cancel()
        else:
            await told_to_stop()
        if work:
            worker.cancel()


async def _keep_looking(gateway: Gateway) -> None:
    """Know how rails do, so that quotes and pages can say it. While the database doesn't answer, what was known stays."""
    while True:
        try:
            await gateway.outlooks.refresh(gateway.engine, now=gateway.clock())
        except Exception as error:
            log.error("outlooks_not_read", error=type(error).__name__, exc_info=None if passes(error) else error)  # noqa: TRY400
        await asyncio.sleep(LEARN_EVERY.total_seconds())


async def _serve(gateway: Gateway, listener: socket.socket) -> None:
    config = uvicorn.Config(
        make_app(gateway), log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=5
    )
    await uvicorn.Server(config).serve(sockets=[listener])
