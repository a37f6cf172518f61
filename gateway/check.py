"""Refuse what is wrong before money meets it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import psycopg
from sqlalchemy.exc import SQLAlchemyError

from gateway.chain.check import check_chain
from gateway.chain.registry import unknown_tokens
from gateway.chain.signer import BadKeystore
from gateway.clock import system_clock
from gateway.config import Chain, ConfigError, Settings
from gateway.db.embedded import EmbeddedPostgresError
from gateway.db.session import make_engine, transaction
from gateway.ledger.post import DecimalsChanged, post, register_assets, top_up
from gateway.main import Gateway, close_database, open_database, open_gateway
from gateway.money import Asset, Money, MoneyError
from gateway.pricing.sources import SourceFault
from gateway.wiring import chain_terms, open_signer


async def check_all(settings: Settings, *, data: Path, progress: Callable[[str], None]) -> list[str]:
    """Every problem there is, each as a sentence that says what would be right. Nothing is changed but our own database."""
    progress("database …")
    try:
        url, server = open_database(settings, data=data)
    except (SQLAlchemyError, psycopg.Error, EmbeddedPostgresError) as error:
        detail = str(error).splitlines()[0]
        return [f"database.url: the database can't be used ({detail}); start it or correct the url"]
    try:
        problems = await _check_parts(settings, data=data, url=url, progress=progress)
    finally:
        if server is not None:
            close_database(server)
    return problems


async def _check_parts(settings: Settings, *, data: Path, url: str, progress: Callable[[str], None]) -> list[str]:
    problems: list[str] = []
    progress("adapters …")
    try:
        async with open_gateway(settings, data=data, database_url=url) as gateway:
            problems += await _check_sources(gateway, progress)
    except (ConfigError, DecimalsChanged) as error:
        problems += str(error).splitlines()
    for number, chain in enumerate(settings.chains):
        progress(f"chain {chain.name} …")
        terms = chain_terms(chain)
        for warning in unknown_tokens(terms):
            progress(f"  note: {warning}")
        problems += [f"chains[{number}]: {problem}" for problem in await check_chain(terms)]
        problems += await _check_keys(number, chain, progress)
    return problems


async def _check_sources(gateway: Gateway, progress: Callable[[str], None]) -> list[str]:
    problems = []
    for source in gateway.sources:
        progress(f"rates from {source.name} …")
        try:
            await source.fetch(system_clock())
        except SourceFault as fault:
            problems.append(f"pricing.sources: {fault}")
    return problems


async def _check_keys(number: int, chain: Chain, progress: Callable[[str], None]) -> list[str]:
    """Open each key of a chain as the work would."""
    problems = []
    for name, key in (("sweep", chain.sweep), ("refunds", chain.refunds)):
        if key is None:
            continue
        progress(f"  the key of {chain.name}.{name} …")
        try:
            await asyncio.to_thread(open_signer, key)
        except BadKeystore as error:
            problems.append(f"chains[{number}].{name}: {error}")
    return problems


async def top_up_rail(settings: Settings, url: str, *, rail: str, amount: str, currency: str, reference: str) -> str:
    """Book a top-up of a rail's float. Raises `ConfigError` for a rail, currency or amount that can't be."""
    if rail not in settings.adapters:
        known = ", ".join(settings.adapters)
        raise ConfigError([("rail", f'no adapter is named "{rail}"; there are: {known}')])
    # An exchange holds our coins, too: there they are on no chain.
    coins = {token.symbol: Asset(token.symbol, token.decimals) for chain in settings.chains for token in chain.tokens}
    assets = {**coins, **{corridor.currency: corridor.asset for corridor in settings.corridors}}
    if currency not in assets:
        known = ", ".join(sorted(assets))
        raise ConfigError([("currency", f"{currency} is no corridor's currency and no coin of ours; there are: {known}")])
    try:
        money = Money.parse(amount, assets[currency])
    except MoneyError as error:
        raise ConfigError([("amount", str(error))]) from None
    engine = make_engine(url)
    try:
        async with transaction(engine) as connection:
            await register_assets(connection, assets=[money.asset])
            entry = top_up(rail=rail, money=money, reference=reference)
            new = await post(connection, entries=[entry], now=system_clock())
    finally:
        await engine.dispose()
    return f"Booked {money} into {rail}." if new else f'The reference "{reference}" was booked before; nothing was changed.'
