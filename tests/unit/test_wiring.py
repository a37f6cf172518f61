"""The wiring refuses what doesn't fit together, and says what would be right."""

from __future__ import annotations

import json
import tomllib
from datetime import timedelta
from pathlib import Path

import pytest
from eth_account import Account
from eth_keyfile import create_keyfile_json

import gateway
from gateway.chain.forwarders import factory_address
from gateway.config import ConfigError, parse
from gateway.money import Asset, Money
from gateway.offramp import Method
from gateway.payouts.addresses import CallbackAddresses
from gateway.payouts.rails import Rails
from gateway.wiring import (
    make_factories,
    make_memory,
    make_offer,
    make_rails,
    make_sources,
    make_wallets,
)
from tests.factories import FakeRail

TREASURY = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
ADDRESSES = CallbackAddresses(public_url="http://127.0.0.1:1", key=b"k" * 32)
KES = Asset("KES", 2)


def settings(**changes):
    tree = tomllib.loads((Path(gateway.__file__).parent / "lastmile.example.toml").read_text())
    tree["chains"][0]["treasury"] = TREASURY
    tree["pricing"]["sources"][0]["app_id"] = "a" * 32
    tree["adapters"] = {"mpesa": {"kind": "mpesa"}}
    for path, value in changes.items():
        *way, last = path.split("__")
        place = tree
        for name in way:
            place = place[int(name) if name.isdigit() else name]
        place[last] = value
    return parse(tree=tree)


def problems(act):
    with pytest.raises(ConfigError) as refusal:
        act()
    return str(refusal.value)


@pytest.fixture
def keystore(tmp_path):
    path = tmp_path / "refunds.json"
    path.write_text(json.dumps(create_keyfile_json(b"\x11" * 32, b"let me in", kdf="pbkdf2", iterations=1)))
    path.chmod(0o600)
    return path


def test_a_wallet_is_known_by_its_address_without_its_password(keystore):
    refunds = {"keystore": str(keystore), "password": "not that"}
    found = make_wallets(settings(chains__0__refunds=refunds, chains__0__tokens__0__refund_per_day="100"))
    wallet = found.by_chain[8453]
    assert wallet.address == Account.from_key(b"\x11" * 32).address
    assert wallet.coins["USDC@8453"].per_day == Money(100_000_000, Asset("USDC@8453", 6))
    assert {wallet.address.lower(), TREASURY.lower()} <= found.ours


def test_a_key_file_that_cannot_be_used_is_named_by_its_setting(tmp_path):
    wrong = {"keystore": str(tmp_path / "none.json"), "password": "x"}
    assert "chains[0].refunds.keystore" in problems(lambda: make_wallets(settings(chains__0__refunds=wrong)))
    sweep = {**wrong, "native_usd": "3000"}
    assert "chains[0].sweep.keystore" in problems(lambda: make_wallets(settings(chains__0__sweep=sweep)))


def test_a_factory_of_another_treasury_is_refused():
    right = factory_address(treasury=TREASURY)
    assert make_factories(settings(chains__0__factory=right)) == {8453: right}
    assert right in problems(lambda: make_factories(settings(chains__0__factory=TREASURY)))


def test_an_adapter_that_is_not_installed_is_refused_with_those_that_are():
    wrong = settings(adapters={"x": {"kind": "carrier-pigeon"}})
    said = problems(lambda: make_rails(wrong, addresses=ADDRESSES, clock=None))
    assert "adapters.x.kind" in said
    assert "mpesa" in said


def test_an_adapters_own_settings_are_named_by_their_keys():
    said = problems(lambda: make_rails(settings(), addresses=ADDRESSES, clock=None))
    assert "adapters.mpesa.consumer_secret" in said
    assert "adapters.mpesa.base_url" in said


def test_a_corridor_that_no_rail_pays_is_refused():
    rails = Rails({"fake": FakeRail()})
    said = problems(lambda: make_offer(settings(corridors__0__country="UG", corridors__0__currency="UGX"), rails))
    assert "UGX" in said


def test_the_offer_stays_within_what_the_rails_can():
    offer = make_offer(settings(corridors__0__min="5.50", corridors__0__max="999999999.99"), Rails({"fake": FakeRail()}))
    terms = offer.corridors["KE", "KES", Method.MOBILE_MONEY]
    assert (terms.least, terms.most, terms.step) == (Money(1_000, KES), Money(25_000_000, KES), Money(100, KES))


def test_a_corridors_economy_is_its_own_lane_with_its_own_fee():
    rails = Rails({"fake": FakeRail()})
    assert make_offer(settings(), rails).drops() == {}
    offer = make_offer(settings(corridors__0__economy={"every_s": 900, "fee": "5"}), rails)
    assert offer.drops() == {"KE/KES/mobile_money/economy": timedelta(minutes=15)}
    terms = offer.corridors["KE", "KES", Method.MOBILE_MONEY]
    assert terms.at_drops.fee == Money(500, KES)
    assert terms.fee != Money(500, KES)


def test_a_source_of_an_unknown_kind_is_refused():
    assert "pricing.sources[0].kind" in problems(lambda: make_sources(settings(pricing__sources__0__kind="oracle")))


def test_what_a_rail_did_is_remembered_for_two_weeks_unless_the_operator_says_otherwise():
    memory = make_memory(settings())
    assert (memory.half_life, memory.now_half_life) == (timedelta(days=14), timedelta(minutes=30))
    assert "not sent: the lease ran out" in memory.says_nothing
    longer = make_memory(settings(experience={"half_life_h": 1_000, "now_minutes": 10}))
    assert (longer.half_life, longer.now_half_life) == (timedelta(hours=1_000), timedelta(minutes=10))


def test_tariffs_of_the_rails_are_in_the_offer():
    tariff = {"currency": "KES", "method": "mobile_money"}
    small = {"up_to": "1000", "fixed": "5"}
    charge = {**tariff, "rail": "mpesa", "charge": [small, {"up_to": "5000", "fixed": "9", "percent": "0.1"}]}
    cash_out = {**tariff, "cash_out": [{"fixed": "29"}]}
    tree = {"tariffs": [charge, cash_out], "chains__0__network_fee": "0.05", "corridors__0__pass_on_rail_fee": True}
    offer = make_offer(settings(**tree), Rails({"mpesa": FakeRail()}))
    terms = offer.corridors["KE", "KES", Method.MOBILE_MONEY]
    assert [terms.rail_fee.of(units) for units in (100_000, 100_001, 10_000_000)] == [500, 1_001, 10_900]
    assert terms.cash_out.of(100_000) == 2_900
    assert offer.tokens["base", "USDC"].network_fee == Money(50_000, Asset("USDC@8453", 6))
    kept = make_offer(settings(tariffs=[charge]), Rails({"mpesa": FakeRail()})).corridors["KE", "KES", Method.MOBILE_MONEY]
    assert (kept.rail_charge.of(100_000), kept.rail_fee.of(100_000), kept.cash_out.of(100_000)) == (500, 0, 0)


def test_a_tariff_of_a_rail_that_isnt_configured_is_refused():
    wrong = [{"currency": "KES", "rail": "jenga", "charge": [{"fixed": "5"}]}]
    said = problems(lambda: make_offer(settings(tariffs=wrong), Rails({"mpesa": FakeRail()})))
    assert said == 'tariffs[0].rail: no adapter is named "jenga"; there are: mpesa'
