from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import psycopg
import pytest
from sqlalchemy import func, insert, select, text
from sqlalchemy.exc import IntegrityError
from structlog.testing import capture_logs

from gateway.db.session import transaction
from gateway.errors import Refusal
from gateway.ledger.post import register_assets
from gateway.money import Asset, Money, Rate
from gateway.offramp import Method
from gateway.pricing import breakdown
from gateway.pricing.breakdown import Fee
from gateway.pricing.models import Quote
from gateway.pricing.observations import Observation
from gateway.pricing.offer import Economy, Offer, PricingRules, Speed, Terms, Token
from gateway.pricing.quotes import QuoteView, find_quote, make_quote, make_quotes
from gateway.pricing.refresh import refresh_rates
from gateway.pricing.requests import QuoteRequest
from gateway.pricing.sources import RateFile, RateFileSettings

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
USDC, DAI = Asset("USDC@31337", 6), Asset("DAI@31337", 18)
KES, UGX, BHD, USD = Asset("KES", 2), Asset("UGX", 0), Asset("BHD", 3), Asset("USD", 2)
ASK = QuoteRequest(
    partner_id=None,
    chain="dev",
    asset="USDC",
    send_amount="10",
    country="KE",
    currency="KES",
    method="mobile_money",
    receive_amount=None,
)
RECEIVE = replace(ASK, send_amount=None, receive_amount="1249")


def token(asset: Asset) -> Token:
    return Token(chain="dev", chain_id=31337, asset=asset, address="0x" + "5" * 40, peg="USD")


def terms(country: str, currency: Asset, method: Method = Method.MOBILE_MONEY, *, fee: str = "30", step: str = "1") -> Terms:
    return Terms(
        country=country,
        currency=currency,
        method=method,
        spread_bps=100,
        fee=Money.parse(fee, currency),
        least=Money.parse("10", currency),
        most=Money.parse("250000", currency),
        step=Money.parse(step, currency),
    )


CORRIDORS = (
    terms("KE", KES),
    terms("UG", UGX, fee="500", step="10"),
    terms("BH", BHD, Method.BANK, fee="0", step="0.001"),
    terms("US", USD, Method.CARD, fee="1", step="0.01"),
)
OFFER = Offer(
    tokens={("dev", "USDC"): token(USDC), ("dev", "DAI"): token(DAI)},
    corridors={(one.country, one.currency.code, one.method): one for one in CORRIDORS},
    rules=PricingRules(max_age=timedelta(hours=2), max_spread_bps=100, min_sources=2, quote_ttl=timedelta(minutes=15)),
)


class Tells:
    def __init__(self, name: str, as_of: datetime, **prices: str) -> None:
        self.name = name
        self.prices = [
            Observation(source=name, base="USD", quote=quote, price=Fraction(price), as_of=as_of)
            for quote, price in prices.items()
        ]

    async def fetch(self, _now: datetime) -> list[Observation]:
        return self.prices


@pytest.fixture
async def priced(engine):
    """A database with assets, a partner, and two sources of which the mean is 129.20 KES."""
    async with transaction(engine) as connection:
        await register_assets(connection, assets=[USDC, DAI, KES, UGX, BHD, USD])
        await connection.execute(text("INSERT INTO partners (id, name, created_at) VALUES ('par_1', 'One', now())"))
    one = Tells("one", NOW, KES="129.1", UGX="3650", BHD="0.377")
    two = Tells("two", NOW - timedelta(hours=1), KES="129.3", UGX="3650", BHD="0.376")
    await refresh_rates(engine, sources=[one, two], now=NOW)
    return engine


async def quote(engine, request: QuoteRequest = ASK, *, offer: Offer = OFFER, now: datetime = NOW):
    async with transaction(engine) as connection:
        return await make_quote(connection, request=request, offer=offer, now=now)


async def find(engine, quote_id: str, *, offer: Offer = OFFER):
    async with transaction(engine) as connection:
        return await find_quote(connection, quote_id=quote_id, offer=offer)


@pytest.fixture
def statements(monkeypatch) -> list[str]:
    """The first word of each statement from now on."""
    seen: list[str] = []
    execute = psycopg.AsyncCursor.execute

    async def noted(cursor, query, *args, **options):
        seen.append((query.decode() if isinstance(query, bytes) else str(query)).split()[0])
        return await execute(cursor, query, *args, **options)

    monkeypatch.setattr(psycopg.AsyncCursor, "execute", noted)
    return seen


async def refused(engine, request: QuoteRequest, **options) -> Refusal:
    with pytest.raises(Refusal) as caught:
        await quote(engine, request, **options)
    async with engine.connect() as connection:
        assert (await connection.execute(select(func.count()).select_from(Quote))).scalar() == 0
    return caught.value


async def test_a_quote_says_everything_that_it_is_bound_to(priced):
    made = await quote(priced, replace(ASK, partner_id="par_1"))
    assert made.id.startswith("quo_")
    assert (made.partner_id, made.created_at, made.expires_at) == ("par_1", NOW, NOW + timedelta(minutes=15))
    assert (made.chain, made.chain_id, made.country, made.method) == ("dev", 31337, "KE", "mobile_money")
    assert (str(made.send), str(made.receive)) == ("10.000000 USDC", "1249.00 KES")
    assert (made.mid.whole(), made.applied.whole()) == (Fraction("129.2"), Fraction("127.908"))
    assert (made.mid_as_of, made.sources) == (NOW - timedelta(hours=1), ("one", "two"))
    assert made.fees == (
        Fee(kind="fx_margin", amount=Money.parse("12.92", KES)),
        Fee(kind="service_fee", amount=Money.parse("30.00", KES)),
        Fee(kind="partner_fee", amount=Money(0, KES)),
        Fee(kind="rail_fee", amount=Money(0, KES)),
        Fee(kind="network_fee", amount=Money(0, KES)),
        Fee(kind="rounding", amount=Money.parse("0.08", KES)),
    )
    assert made.total_cost_percent == "3.33"


async def test_a_quote_is_found_as_it_was_made(priced):
    for request in (ASK, RECEIVE, replace(ASK, partner_id="par_1", asset="DAI", send_amount="10.000000000000000001")):
        made = await quote(priced, request)
        assert await find(priced, made.id) == made


async def test_there_is_no_quote_without_its_id(priced):
    assert await find(priced, "quo_none") is None


async def test_a_quote_outlives_the_offer_it_was_made_under(priced):
    made = await quote(priced)
    found = await find(priced, made.id, offer=replace(OFFER, tokens={}, corridors={}))
    assert found == replace(made, chain="eip155:31337")


async def test_asking_for_an_amount_and_paying_its_price_bring_the_same(priced):
    asked = await quote(priced, RECEIVE)
    assert (str(asked.send), str(asked.receive)) == ("9.999375 USDC", "1249.00 KES")
    again = await quote(priced, replace(ASK, send_amount=asked.send.decimal()))
    assert again == replace(asked, id=again.id)


@pytest.mark.parametrize(
    ("country", "currency", "method", "send", "receive"),
    [
        ("UG", "UGX", "mobile_money", "10", "35630 UGX"),
        ("BH", "BHD", "bank", "100", "37.273 BHD"),
    ],
)
async def test_currencies_with_other_decimals(priced, country, currency, method, send, receive):
    request = replace(ASK, country=country, currency=currency, method=method, send_amount=send)
    made = await quote(priced, request)
    assert str(made.receive) == receive
    assert await find(priced, made.id) == made


async def test_a_coin_pegged_to_the_currency_needs_no_source(priced):
    request = replace(ASK, country="US", currency="USD", method="card", send_amount="100")
    made = await quote(priced, request, now=NOW + timedelta(days=30))
    assert (made.mid.whole(), made.sources, str(made.receive)) == (1, (), "98.00 USD")
    assert [fee.kind for fee in made.fees if fee.amount.units] == ["fx_margin", "service_fee"]


async def test_a_rate_of_many_digits_is_stored_exactly(priced):
    price = Fraction(129_199_999_999_999_999_999_999_999, 10**24)
    await refresh_rates(priced, sources=[Tells("one", NOW, KES=str(price)), Tells("two", NOW, KES=str(price))], now=NOW)
    made = await quote(priced, replace(ASK, asset="DAI", send_amount="10"))
    assert made.mid == Rate.per_whole(price, base=DAI, quote=KES)
    assert await find(priced, made.id) == made


async def test_a_quote_costs_three_readings_and_one_writing_and_finding_it_one(priced, statements):
    made = await quote(priced)
    assert statements == ["SELECT", "SELECT", "SELECT", "INSERT"]
    statements.clear()
    await find(priced, made.id)
    assert statements == ["SELECT"]


async def test_a_hundred_quotes_cost_as_many_statements_as_one(priced, statements):
    async with transaction(priced) as connection:
        made = await make_quotes(connection, requests=[ASK] * 100, offer=OFFER, now=NOW)
    assert statements == ["SELECT", "SELECT", "SELECT", "INSERT"]
    assert len({one.id for one in made}) == 100
    assert await find(priced, made[57].id) == made[57]


async def test_what_is_wrong_with_one_of_a_set_is_its_own_matter(priced, monkeypatch):
    of_send = breakdown.of_send

    def at_seven_a_fault_of_ours(send, **rest):
        return 1 // 0 if str(send).startswith("7.") else of_send(send, **rest)

    monkeypatch.setattr(breakdown, "of_send", at_seven_a_fault_of_ours)
    requests = [replace(ASK, send_amount=amount) for amount in ("10", "7", "none", "0.1", "20")]
    requests += [replace(ASK, country="XX"), replace(ASK, client_id="lm_gone", partner_id="par_1"), ASK]
    with capture_logs():
        async with transaction(priced) as connection:
            made = await make_quotes(connection, requests=requests, offer=OFFER, now=NOW)
    kinds = [type(one).__name__ for one in made]
    assert kinds == [
        *("QuoteView", "ZeroDivisionError", "BadAmount", "BelowMinimum", "QuoteView"),
        *("UnknownCorridor", "ClientRevoked", "QuoteView"),
    ]
    async with priced.connect() as connection:
        stored = set((await connection.execute(select(Quote.__table__.c.id))).scalars())
    assert stored == {one.id for one in made if isinstance(one, QuoteView)}


@pytest.mark.parametrize("column", [column.name for column in Quote.__table__.columns])
async def test_nothing_that_a_quote_says_can_be_changed(priced, column):
    await quote(priced)
    async with priced.connect() as connection:
        with pytest.raises(IntegrityError, match="quotes is append-only"):
            await connection.execute(text(f"UPDATE quotes SET {column} = {column}"))


ELSEWHERE = "BH BHD bank, KE KES mobile_money, UG UGX mobile_money, US USD card."
REFUSALS = (
    ({"send_amount": None}, "amount_missing", "send.amount", "Give one amount: send.amount or receive.amount."),
    (
        {"receive_amount": "1249"},
        "two_amounts",
        "receive.amount",
        "Give one amount only, send.amount or receive.amount: the other follows.",
    ),
    (
        {"asset": "DOGE"},
        "unknown_asset",
        "send.asset",
        "This coin is not taken on this chain. You can send: DAI on dev, USDC on dev.",
    ),
    (
        {"chain": "base"},
        "unknown_asset",
        "send.asset",
        "This coin is not taken on this chain. You can send: DAI on dev, USDC on dev.",
    ),
    (
        {"method": "pigeon"},
        "unknown_corridor",
        "receive",
        "We don't pay out this way. Possible (country, currency, method): KE KES mobile_money.",
    ),
    (
        {"currency": "UGX"},
        "unknown_corridor",
        "receive",
        "We don't pay out this way. Possible (country, currency, method): KE KES mobile_money.",
    ),
    (
        {"country": "XX"},
        "unknown_corridor",
        "receive",
        f"We don't pay out this way. Possible (country, currency, method): {ELSEWHERE}",
    ),
    (
        {"send_amount": "0.1"},
        "below_minimum",
        "send.amount",
        "The recipient has to get at least 10.00 KES: send at least 0.312725 USDC.",
    ),
    (
        {"send_amount": "9" * 60 + ".999999"},
        "above_maximum",
        "send.amount",
        "The recipient can get at most 250000.00 KES at once: send at most 1954.764362 USDC.",
    ),
    (
        {"send_amount": None, "receive_amount": "1249.5"},
        "not_payable",
        "receive.amount",
        "1249.50 KES can't be paid out exactly. The nearest amounts are 1249.00 KES and 1250.00 KES.",
    ),
)
NO_AMOUNTS = (
    *("1e5", "-1", "+1", "NaN", "Infinity", "1_000", "1,000", "١٢", " 1", "1\n", "", "1.", ".5", "0x1", "01"),
    *("1" * 61, "1." + "1" * 30, "0", "0.00"),
)


async def test_a_request_that_cannot_be_met_is_refused_and_writes_nothing(priced):
    for changes, code, field, sentence in REFUSALS:
        refusal = await refused(priced, replace(ASK, **changes))
        assert (refusal.code, refusal.field, str(refusal)) == (code, field, sentence), changes


@pytest.mark.parametrize("side", ["send", "receive"])
async def test_what_is_no_amount_is_refused_and_writes_nothing(priced, side):
    request = replace(ASK, send_amount=None, receive_amount=None)
    for amount in NO_AMOUNTS:
        refusal = await refused(priced, replace(request, **{f"{side}_amount": amount}))
        assert (refusal.code, refusal.field) == ("bad_amount", f"{side}.amount"), amount


async def test_nothing_offered_is_said_as_such(priced):
    refusal = await refused(priced, ASK, offer=replace(OFFER, tokens={}))
    assert str(refusal).endswith("You can send: nothing.")


async def test_a_long_list_of_possibilities_is_cut(priced):
    tokens = {("dev", f"T{number:02}"): token(USDC) for number in range(12)}
    refusal = await refused(priced, ASK, offer=replace(OFFER, tokens=tokens))
    assert str(refusal).endswith("T08 on dev, T09 on dev, and 2 more.")


async def test_when_a_source_is_too_old_no_quote_is_made_and_the_operator_learns_why(priced):
    assert await quote(priced, now=NOW + timedelta(hours=1))
    async with transaction(priced) as connection:
        await connection.execute(text("DELETE FROM quotes"))
    with capture_logs() as logs:
        refusal = await refused(priced, ASK, now=NOW + timedelta(hours=1, seconds=1))
    assert refusal.code == "rate_unavailable"
    assert [(entry["event"], entry["log_level"]) for entry in logs] == [("rate_unavailable", "warning")]
    assert logs[0]["detail"].startswith("USD/KES: 1 fresh sources, 2 needed; known: ")


async def test_when_sources_disagree_no_quote_is_made(priced):
    await refresh_rates(priced, sources=[Tells("two", NOW, KES="150")], now=NOW)
    with capture_logs() as logs:
        refusal = await refused(priced, ASK)
    assert refusal.code == "rate_disputed"
    assert logs[0]["detail"] == "USD/KES: sources more than 100 bps apart: one 129.100000, two 150.000000"


async def test_a_quote_that_does_not_add_up_cannot_be_stored(priced):
    made = await quote(priced)
    async with priced.connect() as connection:
        row = dict((await connection.execute(select(Quote.__table__))).mappings().one())
        with pytest.raises(IntegrityError, match="quote_adds_up"):
            await connection.execute(insert(Quote), row | {"id": made.id + "x", "receive_units": row["receive_units"] + 1})


async def test_from_a_server_and_a_file_to_a_quote(priced, simulator, tmp_path):
    path = tmp_path / "rates.json"
    path.write_text(json.dumps({"as_of": "2026-11-22T11:30:00Z", "base": "USD", "rates": {"KES": "128"}}))
    desk = RateFile(RateFileSettings(name="one", path=path, max_age=timedelta(hours=2)))
    simulator.tell("rates", {"KES": "128.10"})
    simulator.now = later = NOW + timedelta(minutes=1)
    sources = [simulator.source(name="two"), desk]
    # The file's price is older than the one that "one" gave before.
    assert (await refresh_rates(priced, sources=sources, now=later)).stored == 1
    path.write_text(json.dumps({"as_of": "2026-11-22T12:01:00Z", "base": "USD", "rates": {"KES": "128"}}))
    assert (await refresh_rates(priced, sources=sources, now=later)).stored == 2
    assert (await quote(priced, now=later)).mid.whole() == Fraction("128.05")


ECONOMY = Economy(every=timedelta(minutes=15), fee=Money.parse("5", KES))
AT_DROPS = replace(
    OFFER, corridors={**OFFER.corridors, ("KE", "KES", Method.MOBILE_MONEY): replace(CORRIDORS[0], economy=ECONOMY)}
)


async def test_an_economy_quote_is_bound_to_its_speed_fee_and_drops(priced):
    made = await quote(priced, replace(ASK, speed=Speed.ECONOMY), offer=AT_DROPS)
    assert (made.speed, made.drop_every) == ("economy", timedelta(minutes=15))
    assert str(made.receive) == "1274.00 KES"
    assert Fee(kind="service_fee", amount=ECONOMY.fee) in made.fees
    assert made.next_drop_at(NOW + timedelta(seconds=1)) == NOW + timedelta(minutes=15)
    # What it says stays, whatever is offered later.
    assert await find(priced, made.id, offer=OFFER) == made


async def test_a_standard_quote_waits_for_nothing(priced):
    made = await quote(priced, offer=AT_DROPS)
    assert (made.speed, made.drop_every, made.next_drop_at(NOW)) == ("standard", None, None)
    assert str(made.receive) == "1249.00 KES"


async def test_economys_limits_are_those_that_its_own_fee_leaves(priced):
    least = replace(ASK, speed=Speed.ECONOMY, send_amount="0.12")
    assert (await quote(priced, least, offer=AT_DROPS)).receive == Money.parse("10", KES)
    with pytest.raises(Refusal) as refusal:
        await quote(priced, replace(least, speed=Speed.STANDARD), offer=AT_DROPS)
    assert refusal.value.code == "below_minimum"


async def test_where_economy_is_not_offered_a_sentence_says_where_it_is(priced):
    refusal = await refused(priced, replace(ASK, speed=Speed.ECONOMY))
    assert (refusal.code, refusal.field) == ("economy_not_offered", "speed")
    assert str(refusal).endswith("Economy is offered for (country, currency, method): nothing.")
    uganda = replace(ASK, country="UG", currency="UGX", speed=Speed.ECONOMY)
    assert str(await refused(priced, uganda, offer=AT_DROPS)).endswith(": KE KES mobile_money.")


async def test_a_lane_is_written_as_the_database_writes_it(priced):
    made = await quote(priced, replace(ASK, speed=Speed.ECONOMY), offer=AT_DROPS)
    async with priced.connect() as connection:
        sql = "SELECT concat_ws('/', country, receive_asset, method, speed) FROM quotes WHERE id = :id"
        lane = (await connection.execute(text(sql), {"id": made.id})).scalar()
    assert AT_DROPS.drops() == {lane: timedelta(minutes=15)}
