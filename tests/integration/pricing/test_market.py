"""The market's breakers: what stops quotes, since when, and how they come back."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.session import transaction
from gateway.ledger.post import register_assets
from gateway.money import Asset, Money
from gateway.offramp import Method
from gateway.pricing import halts
from gateway.pricing import market as market_module
from gateway.pricing.breakers import BreakerRules
from gateway.pricing.consensus import NoRate
from gateway.pricing.market import Market, read_market
from gateway.pricing.observations import Observation
from gateway.pricing.offer import Offer, PricingRules, Terms, Token
from gateway.pricing.rates import rates_of
from gateway.pricing.refresh import refresh_rates
from gateway.pricing.rounds import HISTORY_KEPT, make_round
from tests.factories import KES, NOW, USDC, USDT

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
UGX = Asset("UGX", 0)


def token(coin: Asset) -> Token:
    return Token(chain="dev", chain_id=31337, asset=coin, address="0x" + "5" * 40, peg="USD")


def terms(country: str, currency: Asset) -> Terms:
    return Terms(
        country=country,
        currency=currency,
        method=Method.MOBILE_MONEY,
        spread_bps=100,
        fee=Money(0, currency),
        least=Money.parse("10", currency),
        most=Money.parse("250000", currency),
        step=Money.parse("1", currency),
    )


KENYA, UGANDA = terms("KE", KES), terms("UG", UGX)
COIN, OTHER = token(USDC), token(USDT)
RULES = PricingRules(
    max_age=2 * HOUR,
    max_spread_bps=100,
    min_sources=2,
    quote_ttl=15 * MINUTE,
    breakers=BreakerRules(jump_bps=500, jump_rounds=2, depeg_recovery=HOUR),
)
OFFER = Offer(
    tokens={("dev", "USDC"): COIN, ("dev", "USDT"): OTHER},
    corridors={(one.country, one.currency.code, one.method): one for one in (KENYA, UGANDA)},
    rules=RULES,
)


@dataclass
class Tells:
    """A source whose prices a test sets, by base and quote."""

    name: str
    prices: dict[tuple[str, str], str] = field(default_factory=dict)
    at: datetime = NOW

    async def fetch(self, _now: datetime) -> list[Observation]:
        return [
            Observation(source=self.name, base=base, quote=quote, price=Fraction(price), as_of=self.at)
            for (base, quote), price in self.prices.items()
        ]


@dataclass
class Exchange:
    """Two sources, a clock, and rounds."""

    engine: AsyncEngine
    offer: Offer = OFFER
    now: datetime = NOW

    async def tell(self, *, one: str | None = None, two: str | None = None, **coins: str) -> None:
        """What the sources say now: of USD/KES (`two` like `one` if it isn't given), and of coins."""
        sources = [Tells("one"), Tells("two")]
        for source, price in zip(sources, (one, two or one), strict=True):
            source.at = self.now
            if price is not None:
                source.prices["USD", "KES"] = price
                source.prices["USD", "UGX"] = "3650"
        for coin, price in coins.items():
            sources[0].prices[coin, "USD"] = price
        await refresh_rates(self.engine, sources=sources, now=self.now)

    async def round(self) -> int:
        return await make_round(self.engine, offer=self.offer, now=self.now)

    async def pass_time(self, passed: timedelta = MINUTE, *, one: str = "129.2", **prices: Any) -> None:
        self.now += passed
        await self.tell(one=one, **prices)
        await self.round()

    async def market(self) -> Market:
        async with transaction(self.engine) as connection:
            return await read_market(connection, offer=self.offer, now=self.now)

    async def mid(self, coin: Token = COIN, where: Terms = KENYA) -> Fraction:
        return (await self.market()).price(coin, where, self.now).mid.price

    async def refusal(self, coin: Token = COIN, where: Terms = KENYA) -> NoRate:
        with pytest.raises(NoRate) as caught:
            await self.mid(coin, where)
        return caught.value

    async def all(self, statement: str, **values: Any) -> list[Any]:
        async with transaction(self.engine) as connection:
            return list((await connection.execute(text(statement), values)).all())

    async def incidents(self) -> list[str]:
        return [row.kind for row in await self.all("SELECT kind FROM incidents ORDER BY id")]

    async def stops(self) -> list[tuple[str, str]]:
        rows = await self.all("SELECT breaker, subject FROM market_stops WHERE lifted_at IS NULL ORDER BY id")
        return [(row.breaker, row.subject) for row in rows]

    async def by_hand(self, what: Any, **values: Any) -> None:
        async with transaction(self.engine) as connection:
            await what(connection, operator="amina", reason="so it is", now=self.now, **values)


@pytest.fixture
async def exchange(engine: AsyncEngine) -> Exchange:
    made = Exchange(engine)
    async with transaction(engine) as connection:
        await register_assets(connection, assets=[USDC, USDT, KES, UGX])
        await connection.execute(text("INSERT INTO operators VALUES ('amina', 'x', now(), NULL)"))
    await made.tell(one="129.2")
    await made.round()
    return made


async def test_the_market_is_read_in_one_question(exchange, monkeypatch):
    asked = []
    answer = market_module.rows

    async def rows(*args: Any) -> list[Any]:
        asked.append(args[1])
        return await answer(*args)

    monkeypatch.setattr(market_module, "rows", rows)
    statements: list[str] = []
    event.listen(exchange.engine.sync_engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    market = await exchange.market()
    assert [market.price(COIN, where, NOW).mid.price for where in (KENYA, UGANDA)] == [Fraction("129.2"), 3650]
    assert (len(asked), statements) == (1, [])


async def test_a_round_keeps_what_it_found_and_one_without_news_changes_nothing(exchange):
    rows = "SELECT base, quote, price, published FROM market_history ORDER BY at, base, quote"
    assert [tuple(row) for row in await exchange.all(rows)] == [
        ("USD", "KES", "646/5", True),
        ("USD", "UGX", "3650", True),
    ]
    exchange.now += MINUTE
    assert await exchange.round() == 0
    assert len(await exchange.all(rows)) == 2
    await exchange.pass_time(one="129.4")
    assert len(await exchange.all(rows)) == 4


async def test_history_is_pruned_and_never_changed(exchange):
    with pytest.raises(DBAPIError, match="append-only"):
        await exchange.all("UPDATE market_history SET published = false RETURNING 1")
    await exchange.pass_time(HISTORY_KEPT + MINUTE)
    [[number]] = await exchange.all("SELECT count(*) FROM market_history WHERE at = :at", at=NOW)
    assert number == 0


async def test_a_stop_is_kept_as_it_was(exchange):
    await exchange.by_hand(halts.halt, subject="USDC")
    for change in ("reason = 'another'", "since = now()"):
        with pytest.raises(DBAPIError, match="append-only"):
            await exchange.all(f"UPDATE market_stops SET {change} RETURNING 1")
    await exchange.by_hand(halts.resume, subject="USDC")
    with pytest.raises(DBAPIError, match="append-only"):
        await exchange.all("UPDATE market_stops SET lifted_at = NULL, lifted_by = NULL RETURNING 1")
    with pytest.raises(DBAPIError, match="append-only"):
        await exchange.all("DELETE FROM market_stops RETURNING 1")


async def test_stale_sources_stop_quotes_before_any_round_and_news_bring_them_back(exchange):
    exchange.now += 2 * HOUR + MINUTE
    refused = await exchange.refusal()
    assert (refused.code, "0 fresh sources, 2 needed" in refused.detail) == ("rate_unavailable", True)
    assert await exchange.round() == 2
    assert await exchange.stops() == [("stale", "USD/KES"), ("stale", "USD/UGX")]
    assert await exchange.round() == 0
    assert await exchange.incidents() == ["market_stale", "market_stale"]
    await exchange.tell(one="129.2")
    assert await exchange.mid() == Fraction("129.2")
    assert await exchange.round() == 2
    assert await exchange.stops() == []


async def test_a_pair_that_never_had_a_price_is_refused_without_an_alarm(engine):
    new = Exchange(engine)
    assert (await new.refusal()).code == "rate_unavailable"
    assert [await new.round(), await new.stops(), await new.incidents()] == [0, [], []]


async def test_sources_that_differ_stop_their_pair_and_no_other(exchange):
    await exchange.pass_time(one="129.2", two="131.2")
    assert (await exchange.refusal()).code == "rate_disputed"
    assert await exchange.stops() == [("spread", "USD/KES")]
    assert await exchange.mid(where=UGANDA) == 3650
    await exchange.pass_time(one="129.2", two="129.3")
    assert await exchange.stops() == []


async def test_a_jump_stops_quotes_at_once_and_rounds_of_newer_prices_confirm_it(exchange):
    exchange.now += MINUTE
    await exchange.tell(one="140")
    assert (await exchange.refusal()).code == "rate_jumped"  # before any round
    await exchange.round()
    assert await exchange.stops() == [("jump", "USD/KES")]
    for _ in range(3):  # the same prices confirm nothing
        await exchange.round()
    refused = await exchange.refusal()
    assert "jumped from 129.2" in refused.detail
    assert "lastmile rates accept USD KES" in refused.detail
    await exchange.pass_time(one="140.1")
    assert await exchange.stops() == []
    assert await exchange.mid() == Fraction("140.1")
    await exchange.pass_time(one="140.2")  # what was before the jump is no measure any more
    assert await exchange.mid() == Fraction("140.2")
    assert await exchange.incidents() == ["market_jump"]


async def test_a_jump_that_goes_back_was_none(exchange):
    await exchange.pass_time(one="140")
    await exchange.pass_time(one="129.3")
    assert [await exchange.mid(), await exchange.stops()] == [Fraction("129.3"), []]
    published = "SELECT price FROM market_history WHERE quote = 'KES' AND published ORDER BY at"
    assert [row.price for row in await exchange.all(published)] == ["646/5", "1293/10"]
    await exchange.pass_time(one="140")  # and counts from one again
    assert (await exchange.refusal()).code == "rate_jumped"


async def test_many_small_steps_within_the_period_are_a_jump_too(exchange):
    for price in ("131", "133", "135"):
        await exchange.pass_time(one=price)
        assert await exchange.mid() == Fraction(price)
    await exchange.pass_time(one="136")
    assert (await exchange.refusal()).code == "rate_jumped"


async def test_while_there_is_no_rate_a_jump_is_not_over(exchange):
    await exchange.pass_time(one="140")
    await exchange.pass_time(one="129", two="140")
    assert await exchange.stops() == [("jump", "USD/KES"), ("spread", "USD/KES")]


async def test_one_source_that_repeats_itself_confirms_no_jump(exchange):
    exchange.now += MINUTE
    await exchange.tell(one="140")
    for _ in range(5):
        await exchange.round()
        exchange.now += MINUTE
        again = Tells("one", {("USD", "KES"): "140", ("USD", "UGX"): "3650"}, exchange.now)
        await refresh_rates(exchange.engine, sources=[again], now=exchange.now)
    assert await exchange.stops() == [("jump", "USD/KES")]
    for _ in range(2):
        await exchange.pass_time(one="140")
    assert await exchange.stops() == []


async def test_a_jump_that_a_fresh_source_contradicts_waits_for_a_person(exchange):
    """Two that agree to lie outvote the third, and may repeat it as often as they like."""
    for _ in range(4):
        honest = Tells("three", {("USD", "KES"): "129.2"}, exchange.now + MINUTE)
        await refresh_rates(exchange.engine, sources=[honest], now=exchange.now + MINUTE)
        await exchange.pass_time(one="150")
        refused = await exchange.refusal()
        assert refused.code == "rate_jumped"
    assert "unless a source contradicts (three says 129.200000 KES for one USD" in refused.detail
    exchange.now += MINUTE
    honest = Tells("three", {("USD", "KES"): "149.9"}, exchange.now)  # so it was no lie: now all say so
    await refresh_rates(exchange.engine, sources=[honest], now=exchange.now)
    await exchange.round()
    assert [await exchange.mid(), await exchange.stops()] == [150, []]
    published = "SELECT price FROM market_history WHERE quote = 'KES' AND published ORDER BY at"
    assert [row.price for row in await exchange.all(published)] == ["646/5", "150"]


async def test_what_a_source_fell_silent_on_does_not_make_a_round_forget_the_last_hour(exchange):
    exchange.offer = replace(OFFER, rules=replace(RULES, min_sources=1))
    await exchange.pass_time(one="129.2", two="129.3")
    low = "SELECT low, high FROM market_pairs WHERE quote = 'KES'"
    before = await exchange.all(low)
    exchange.offer = replace(OFFER, rules=replace(RULES, min_sources=1, listed=frozenset({"two"})))
    await exchange.round()
    [after] = await exchange.all(low)
    assert (before[0].low, Fraction(after.low), Fraction(after.high)) == ("646/5", Fraction("129.2"), Fraction("129.3"))


async def test_a_coins_local_price_makes_the_rate_where_no_other_does_and_a_depeg_takes_it_out(exchange):
    bitso = Tells("bitso", {("USDC", "KES"): "128.6"}, exchange.now)
    luno = Tells("luno", {("USDT", "KES"): "129.2"}, exchange.now)
    exchange.offer = replace(OFFER, rules=replace(RULES, listed=frozenset({"bitso", "luno", "one"})))
    await exchange.all("DELETE FROM rate_observations WHERE quote = 'KES' RETURNING 1")
    await exchange.all("DELETE FROM market_pairs RETURNING 1")
    await refresh_rates(exchange.engine, sources=[bitso, luno], now=exchange.now)
    assert await exchange.mid() == (Fraction("128.6") + Fraction("129.2")) / 2
    assert await exchange.round() == 0
    assert (await exchange.all("SELECT price FROM market_pairs WHERE quote = 'KES'"))[0].price == "1289/10"
    exchange.now += MINUTE
    await exchange.tell(USDC="0.98")
    assert (await exchange.refusal(OTHER)).code == "rate_unavailable"
    await exchange.round()
    assert await exchange.stops() == [("depeg", "USDC"), ("stale", "USD/KES")]


async def test_agreement_beyond_a_bound_stops_its_pair_with_a_reason_and_an_alarm(exchange):
    exchange.offer = replace(OFFER, rules=replace(RULES, bounds={"ecb": 500}))
    ecb = Tells("ecb", {("USD", "KES"): "120"}, exchange.now)
    await refresh_rates(exchange.engine, sources=[ecb], now=exchange.now)
    refused = await exchange.refusal()
    assert (refused.code, "one, two agree on 129.200000, more than 500 bps from what ecb" in refused.detail) == (
        "rate_disputed",
        True,
    )
    await exchange.round()
    assert [await exchange.stops(), await exchange.incidents()] == [[("spread", "USD/KES")], ["market_spread"]]
    assert await exchange.mid(where=UGANDA) == 3650


async def test_a_person_may_believe_a_jump(exchange):
    with pytest.raises(halts.NoJump):
        await exchange.by_hand(halts.accept_jump, base="USD", quote="KES")
    await exchange.pass_time(one="140")
    await exchange.by_hand(halts.accept_jump, base="USD", quote="KES")
    assert await exchange.mid() == 140
    await exchange.round()
    assert await exchange.stops() == []


async def test_a_coin_below_par_counts_as_what_it_is_worth_and_above_as_par(exchange):
    await exchange.pass_time(USDC="0.995")
    assert await exchange.mid() == Fraction("129.2") * Fraction("0.995")
    assert (await exchange.market()).price(COIN, KENYA, exchange.now).mid.sources == ("one", "two")
    await exchange.pass_time(USDC="1.005")
    assert await exchange.mid() == Fraction("129.2")


async def test_a_depeg_stops_its_coin_at_once_and_only_it(exchange):
    exchange.now += MINUTE
    await exchange.tell(one="129.2", USDC="0.9899", USDT="1.001")
    refused = await exchange.refusal()
    assert (refused.code, refused.field) == ("coin_depegged", "send.asset")
    assert "USDC costs 0.9899" in refused.detail
    assert await exchange.mid(OTHER) == Fraction("129.2")
    await exchange.round()
    assert [await exchange.stops(), await exchange.incidents()] == [[("depeg", "USDC")], ["market_depeg"]]


async def test_a_coin_is_taken_again_only_after_it_was_back_for_a_while(exchange):
    await exchange.pass_time(USDC="0.97")
    await exchange.pass_time(USDC="0.995")
    assert (await exchange.refusal()).code == "coin_depegged"
    await exchange.pass_time(59 * MINUTE, USDC="0.98")  # out again: the hour starts anew
    await exchange.pass_time(USDC="0.995")
    await exchange.pass_time(59 * MINUTE, USDC="0.996")
    assert (await exchange.refusal()).code == "coin_depegged"
    await exchange.pass_time(MINUTE, USDC="0.996")
    assert await exchange.mid() == Fraction("129.2") * Fraction("0.996")


async def test_a_coin_whose_price_is_not_told_any_more_does_not_recover(exchange):
    await exchange.pass_time(USDC="0.97")
    await exchange.pass_time(USDC="0.999")
    for _ in range(2):
        await exchange.pass_time(3 * HOUR)
    assert await exchange.stops() == [("depeg", "USDC"), ("stale", "USDC/USD")]


async def test_a_price_that_has_gone_stale_is_not_taken_for_par(exchange):
    await exchange.pass_time(USDC="1")
    await exchange.pass_time(3 * HOUR)
    assert (await exchange.refusal()).code == "coin_unpriced"
    assert await exchange.mid(OTHER) == Fraction("129.2")


async def test_where_par_is_not_assumed_a_coin_without_a_price_is_not_quoted(exchange):
    rules = replace(RULES, breakers=replace(RULES.breakers, par_assumed=False))
    exchange.offer = replace(OFFER, rules=rules)
    assert (await exchange.refusal()).code == "coin_unpriced"
    await exchange.pass_time(USDC="1")
    assert await exchange.mid() == Fraction("129.2")


async def test_what_a_person_halts_is_refused_and_nothing_else(exchange):
    await exchange.by_hand(halts.halt, subject="KE/KES/mobile_money")
    refused = await exchange.refusal()
    assert (refused.code, refused.field, "by amina" in refused.detail) == ("corridor_halted", "receive", True)
    assert await exchange.mid(where=UGANDA) == 3650
    with pytest.raises(halts.AlreadyHalted):
        await exchange.by_hand(halts.halt, subject="KE/KES/mobile_money")
    await exchange.round()  # no round ends what a person has stopped
    await exchange.by_hand(halts.resume, subject="KE/KES/mobile_money")
    assert await exchange.mid() == Fraction("129.2")
    with pytest.raises(halts.NotHalted):
        await exchange.by_hand(halts.resume, subject="KE/KES/mobile_money")


async def test_a_coin_or_everything_can_be_halted(exchange):
    await exchange.by_hand(halts.halt, subject="USDC")
    assert [(await exchange.refusal()).code, await exchange.mid(OTHER)] == ["coin_halted", Fraction("129.2")]
    await exchange.by_hand(halts.halt, subject=halts.EVERYTHING)
    assert (await exchange.refusal(OTHER, UGANDA)).code == "corridor_halted"


async def test_a_person_may_end_a_depeg_but_not_the_price(exchange):
    await exchange.pass_time(USDC="0.97")
    await exchange.pass_time(USDC="0.995")
    await exchange.by_hand(halts.resume, subject="USDC")
    assert await exchange.mid() == Fraction("129.2") * Fraction("0.995")
    await exchange.pass_time(USDC="0.97")
    assert (await exchange.refusal()).code == "coin_depegged"
    assert await exchange.stops() == [("depeg", "USDC")]


async def test_quotes_are_shorter_while_the_price_moves(exchange):
    price = (await exchange.market()).price(COIN, KENYA, exchange.now)
    assert price.ttl == 15 * MINUTE
    for number in range(10):
        await exchange.pass_time(one="129.2" if number % 2 else "130.2")
    restless = (await exchange.market()).price(COIN, KENYA, exchange.now)
    assert timedelta(seconds=60) <= restless.ttl < 5 * MINUTE
    assert (await exchange.market()).price(COIN, UGANDA, exchange.now).ttl == 15 * MINUTE


async def test_rates_tell_what_is_stopped_since_when_and_why(exchange):
    await exchange.pass_time(USDC="0.97", USDT="1.001")
    since = exchange.now
    await exchange.by_hand(halts.halt, subject="UG/UGX/mobile_money")
    rates = rates_of(await exchange.market(), now=exchange.now)
    usdc, usdt = rates.coins
    assert (usdc.stopped.breaker, usdc.stopped.cause, usdc.stopped.since) == ("depeg", "coin", since)
    assert (usdc.price.price, usdc.worth, usdt.worth, usdt.stopped) == (Fraction("0.97"), None, 1, None)
    told = {(pair.symbol, pair.currency): pair for pair in rates.pairs}
    assert told["USDC", "KES"].mid is None
    assert told["USDC", "KES"].stopped.code == "coin_depegged"
    [kenya] = told["USDT", "KES"].corridors
    assert (kenya.applied, kenya.holds, kenya.stopped) == (Fraction("129.2") * Fraction("0.99"), 15 * MINUTE, None)
    [uganda] = told["USDT", "UGX"].corridors
    assert (told["USDT", "UGX"].mid.price, uganda.stopped.cause, uganda.applied) == (3650, "corridor", None)


async def test_of_two_processes_one_makes_the_round(exchange):
    exchange.now += MINUTE
    await exchange.tell(one="140")
    async with transaction(exchange.engine) as connection:
        await connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('market_round', 0))"))
        assert await exchange.round() == 0
    assert await exchange.round() == 1
