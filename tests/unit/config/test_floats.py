from __future__ import annotations

import copy
from datetime import timedelta

import pytest

from gateway.config import ConfigError, parse
from gateway.config.fills import float_rules
from gateway.money import Asset, Money
from gateway.offramp import Capabilities, Corridor, Method, Resend
from gateway.pricing.tariffs import Band, Cost, Key, Schedule, Tariffs
from gateway.sagas.wallets import NO_LEG_WALLETS, LegWallet, LegWallets

KES, USDC, COIN = Asset("KES", 2), Asset("USDC@8453", 6), Asset("USDC", 6)
TREASURY = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
LEVEL = {"rail": "mpesa", "currency": "KES", "low_hours": 24, "critical": "1000"}
FILL = {
    "rail": "mpesa",
    "currency": "KES",
    "by": "exchange",
    "country": "KE",
    "account": "0123",
    "holder": "Us Ltd",
    "coin": "USDC",
    "lead_time_s": 7200,
    "fee_bps": 50,
    "fee": "30",
}
DEPOSIT = {"by": "exchange", "coin": "USDC", "chain": "base", "address": TREASURY, "lead_time_s": 60, "keep": "12.5"}
WALLETS = LegWallets(
    by_chain={8453: LegWallet(chain_id=8453, address=TREASURY, account="wallet:8453:legs", coins={})}, ours=frozenset()
)


def paying(name: str, method: Method) -> Capabilities:
    least, most = Money(1_000, KES), Money(10**9, KES)
    corridor = Corridor(country="KE", method=method, asset=KES, least=least, most=most, step=Money(100, KES))
    hour = timedelta(hours=1)
    return Capabilities(name=name, corridors=(corridor,), resend=Resend.DEDUPED, settles_within=hour, resend_within=hour)


RAILS = {"mpesa": paying("mpesa", Method.MOBILE_MONEY), "exchange": paying("exchange", Method.BANK)}


def read(tree, wallets=NO_LEG_WALLETS, tariffs=None, **floats):
    whole = copy.deepcopy(tree.good) | {"floats": floats}
    return float_rules(parse(tree=whole), capabilities=RAILS, wallets=wallets, tariffs=tariffs or Tariffs())


def test_nothing_configured_is_nothing_planned(tree):
    rules = read(tree)
    assert (rules.marks, rules.fills, rules.deposits) == ({}, (), ())
    assert rules.calendar("KES").countries == ("KE",)
    assert rules.calendar("KES").zone == "Africa/Nairobi"
    assert rules.calendar("MXN").zone == "UTC"


def test_tables_become_values(tree):
    tariffs = Tariffs({Key("exchange", None, "KES", None, None): Schedule((Band(10**78, (Cost(77, 0),)),))})
    calendar = {"currency": "KES", "month_end": [28, 3]}
    rules = read(tree, tariffs=tariffs, levels=[LEVEL], fills=[FILL], deposits=[DEPOSIT], calendars=[calendar])
    marks = rules.marks["mpesa", "KES"]
    assert (marks.low, marks.critical, marks.reserve) == (timedelta(hours=24), Money(100_000, KES), None)
    assert marks.target == timedelta(hours=48), "twice the low mark"
    [fill], [deposit] = rules.fills, rules.deposits
    assert (fill.source, fill.gives, fill.pays, fill.peg) == ("rail:exchange", COIN, KES, "USD")
    assert (fill.to.account, fill.to.method, fill.fee, fill.lead) == (
        "0123",
        Method.BANK,
        Money(3_000, KES),
        timedelta(hours=2),
    )
    assert (fill.least, fill.step, fill.tariff.of(5_000)) == (Money(1_000, KES), Money(100, KES), 77)
    assert (deposit.source, deposit.gives, deposit.pays, deposit.keep) == (
        "treasury:8453",
        USDC,
        COIN,
        Money(12_500_000, USDC),
    )
    assert (rules.calendar("KES").month_end, rules.calendar("KES").zone) == ((28, 3), "Africa/Nairobi")


def test_where_the_coins_come_from_follows_from_the_table(tree):
    [on_chain] = read(tree, wallets=WALLETS, fills=[FILL | {"chain": "base"}]).fills
    assert (on_chain.source, on_chain.gives) == ("wallet:8453:legs", USDC)
    [local] = read(tree, fills=[{key: value for key, value in FILL.items() if key != "coin"}]).fills
    assert (local.source, local.gives, local.peg) == ("rail:exchange", KES, None)


def test_a_coin_at_an_exchange_may_have_marks_once_a_fill_sells_it(tree):
    level = {"rail": "exchange", "currency": "USDC", "reserve": "250.5"}
    assert read(tree, fills=[FILL], levels=[level]).marks["exchange", "USDC"].reserve == Money(250_500_000, COIN)
    with pytest.raises(ConfigError, match=r"floats.levels\[0\].currency: exchange neither pays USDC nor"):
        read(tree, levels=[level])


@pytest.mark.parametrize(
    ("floats", "said"),
    [
        ({"levels": [LEVEL | {"rail": "mpeza"}]}, 'no adapter is named "mpeza"; there are: mpesa, exchange'),
        ({"levels": [LEVEL, LEVEL]}, "mpesa and KES stand twice"),
        ({"levels": [LEVEL | {"low": "5"}]}, "has both low and low_hours; give one of them"),
        ({"levels": [{"rail": "mpesa", "currency": "KES"}]}, "says nothing; give low, critical, target or reserve"),
        ({"levels": [LEVEL | {"critical": "1.234"}]}, "KES has at most 2"),
        ({"levels": [LEVEL | {"low_hours": 0}]}, "in hours of expected demand, from 1 to 1440"),
        ({"fills": [FILL | {"by": "mpesa"}]}, "a rail doesn't fill its own float"),
        ({"fills": [FILL | {"by": "none"}]}, 'floats.fills[0].by: no adapter is named "none"'),
        ({"fills": [FILL | {"method": "cash"}]}, "exchange doesn't pay KES by cash in KE; it pays KES by bank in KE"),
        ({"fills": [FILL | {"chain": "base"}]}, "chain base has no wallet that pays"),
        ({"fills": [FILL | {"chain": "moon"}]}, 'no chain is named "moon"; there are: base'),
        ({"fills": [FILL | {"chain": "base", "coin": "DAI"}]}, "DAI is no coin of chain base; there are: USDC"),
        ({"fills": [FILL | {"fee": 3}]}, "is not an amount"),
        ({"deposits": [DEPOSIT | {"keep": "1e5"}]}, "is not an amount"),
        ({"deposits": [DEPOSIT | {"address": "0x1"}]}, "our deposit address at the exchange on that chain"),
        ({"calendars": [{"currency": "KES", "zone": "Nairobi"}]}, "is no IANA time zone"),
        ({"calendars": [{"currency": "KES", "month_end": [25, 32]}]}, "is wrong; give"),
        ({"plan_valid_s": 1}, "for how many seconds a plan's moves may be approved"),
    ],
)
def test_what_does_not_fit_is_said_with_what_would(tree, floats, said):
    with pytest.raises(ConfigError) as caught:
        read(tree, **floats)
    assert said in str(caught.value)
