# ruff: noqa: E501 - the sentences stand as their readers see them
from __future__ import annotations

import copy
import tomllib

import pytest

from gateway.config import ConfigError, parse
from gateway.config.fields import countries, currencies, currency_asset
from gateway.money import Asset, Money
from gateway.offramp import Method

USDT = "0xfde4C96c8593536E31F229EA8f37b2ADa2699bb2"


def test_a_good_tree_becomes_typed_values(tree):
    good = parse(tree=tree.good)
    chain, corridor = good.chains[0], good.corridors[0]
    usdc, kes = Asset("USDC@8453", 6), Asset("KES", 2)
    assert (good.server.host, good.server.port, good.server.public_url) == ("127.0.0.1", 8000, "https://pay.example.org")
    assert good.database.url is None
    assert chain.rpc == ("https://one.example/v2/CANARY", "https://two.example/")
    assert (chain.finality.tag, chain.finality.depth, chain.poll_s, chain.factory) == ("finalized", None, 2, None)
    assert chain.asset(token=chain.tokens[0]) == usdc
    assert chain.least(token=chain.tokens[0]) == Money(500_000, usdc)
    assert chain.factory is None
    assert corridor.methods == (Method.MOBILE_MONEY, Method.BANK)
    assert (corridor.fee, corridor.least, corridor.most) == (Money(2500, kes), Money(10_000, kes), Money(25_000_050, kes))
    assert corridor.asset == kes
    assert good.pricing.exposure_cap is None
    assert good.adapters["mpesa"].kind == "mpesa"
    assert good.adapters["mpesa"].settings == {"short_code": "600992", "consumer_secret": "CANARY"}


@pytest.mark.parametrize(
    ("place", "value", "reads"),
    [
        ("chains.0.finality", {"depth": 12}, lambda s: s.chains[0].finality.depth == 12),
        ("chains.0.treasury", USDT.lower(), lambda s: s.chains[0].treasury == USDT),
        ("chains.0.treasury", "0x" + USDT[2:].upper(), lambda s: s.chains[0].treasury == USDT),
        ("chains.0.factory", USDT, lambda s: s.chains[0].factory == USDT),
        (
            "pricing.sources.0.base_url",
            "https://rates.example/",
            lambda s: s.pricing.sources[0].base_url == "https://rates.example",
        ),
        ("pricing.sources.0.base_url", "http://[::1]:9/x/", lambda s: s.pricing.sources[0].base_url == "http://[::1]:9/x"),
        ("chains.0.quorum", "1", lambda s: s.chains[0].quorum == 1),
        ("chains.0.poll_s", 0.5, lambda s: s.chains[0].poll_s == 0.5),
        ("chains.0.tokens.0.least", ..., lambda s: s.chains[0].least(token=s.chains[0].tokens[0]).units == 1),
        ("corridors.0.fee", "0", lambda s: s.corridors[0].fee.units == 0),
        ("corridors.0.max", "100", lambda s: s.corridors[0].most == s.corridors[0].least),
        ("pricing.exposure_cap", "500.25", lambda s: s.pricing.exposure_cap == Money(50_025, Asset("USD", 2))),
        ("server.public_url", "http://127.0.0.1:8000/", lambda s: s.server.public_url == "http://127.0.0.1:8000"),
        (
            "database",
            {"url": "postgresql:///lastmile"},
            lambda s: s.database.url.get_secret_value() == "postgresql:///lastmile",
        ),
    ],
)
def test_other_ways_to_say_it_right_are_taken(tree, place, value, reads):
    assert reads(parse(tree=tree.changed(place, value)))


# What is changed in a good configuration ("..." takes the key away), and all that is said then.
MISTAKES = r"""
server.prot = 1
    server.prot: unknown key; did you mean "port"?
sever = {}
    sever: unknown key; did you mean "server"?
chains.0.qourum = 1
    chains[0].qourum: unknown key; did you mean "quorum"?
chains.0.tokens.0.decimal = 1
    chains[0].tokens[0].decimal: unknown key; did you mean "decimals"?
corridors.0.least = "1"
    corridors[0].least: unknown key; known are country, currency, methods, spread_bps, fee, min, max, economy, pass_on_rail_fee
server = ...
    server: is missing; give a [server] table
server.public_url = ...
    server.public_url: is missing; give the address at which people reach this gateway, as in "https://pay.example.org"
chains.0.treasury = ...
    chains[0].treasury: is missing; give the account that gets all coins, "0x" and 40 hexadecimal digits
corridors.0.min = ...
    corridors[0].min: is missing; give the smallest payout, in quotes, as in "100"
adapters.mpesa.kind = ...
    adapters.mpesa.kind: is missing; give the kind of an installed adapter, as in "mpesa" (`lastmile rails` lists them)
server = 5
    server: 5 is wrong; give a [server] table
server.port = 70000
    server.port: 70000 is wrong; give a port from 1 to 65535
server.port = 0
    server.port: 0 is wrong; give a port from 1 to 65535
server.port = true
    server.port: true is wrong; give a port from 1 to 65535
server.port = 80.0
    server.port: 80.0 is wrong; give a port from 1 to 65535
server.port = "8_000"
    server.port: "8_000" is wrong; give a port from 1 to 65535
server.port = 1979-05-27
    server.port: 1979-05-27 is wrong; give a port from 1 to 65535
server.host = ""
    server.host: "" is wrong; give the address to listen on, as in "127.0.0.1"
chains = {}
    chains: a table is wrong; give at least one [[chains]] table
chains = []
    chains: a list is wrong; give at least one [[chains]] table
chains.0.tokens = []
    chains[0].tokens: a list is wrong; give at least one [[chains.tokens]] table
adapters = {}
    adapters: a table is wrong; give at least one table such as [adapters.mpesa] with a "kind"
adapters.mpesa = 7
    adapters.mpesa: 7 is wrong; give at least one table such as [adapters.mpesa] with a "kind"
adapters.M-Pesa = {kind = "mpesa"}
    adapters.M-Pesa: is no name for an adapter; give small letters, digits and single "_", for example "mpesa_ke"
adapters.mpesa__ke = {kind = "mpesa"}
    adapters.mpesa__ke: is no name for an adapter; give small letters, digits and single "_", for example "mpesa_ke"
server.public_url = "ftp://pay.example.org"
    server.public_url: "ftp://pay.example.org" is wrong; give the address at which people reach this gateway, as in "https://pay.example.org"
server.public_url = "https://pay.example.org/remit"
    server.public_url: must end after host and port: pages stand at the root, as in "https://pay.example.org"
server.public_url = "https://me@pay.example.org"
    server.public_url: must end after host and port: pages stand at the root, as in "https://pay.example.org"
database = {url = "mysql://u:CANARY@host/db"}
    database.url: the value is wrong; give the address of a PostgreSQL database, as in "postgresql://user@host/lastmile"
database = {url = "postgresql://host:port/db"}
    database.url: the value is wrong; give the address of a PostgreSQL database, as in "postgresql://user@host/lastmile"
chains.0.name = "Base Mainnet"
    chains[0].name: "Base Mainnet" is wrong; give a short name in small letters, as in "base"
chains.0.quorum = 3
    chains[0].quorum: 3 is more than the 2 rpc urls listed; give at most 2
chains.0.quorum = 0
    chains[0].quorum: 0 is wrong; give how many of the rpc urls must agree, at least 1
chains.0.rpc = []
    chains[0].rpc: the value is wrong; give a list of http addresses of nodes, as in ["https://one.example", "https://two.example"]
chains.0.rpc = ["https://one.example", "https://one.example/"]
    chains[0].rpc: lists one url twice; give different providers, or the quorum is one provider's word
chains.0.rpc = ["https://one.example/a", "https://key@one.example/b"]
    chains[0].quorum: 2 is more than the 1 operator of the rpc urls: what one host says twice is one voice; give at most 1, or urls of other hosts
chains.0.rpc.1 = "wss://two.example/CANARY"
    chains[0].rpc[1]: the value is wrong; give a list of http addresses of nodes, as in ["https://one.example", "https://two.example"]
chains.0.finality = {}
    chains[0].finality: must be one of { tag = "finalized" } and { depth = 12 }
chains.0.finality = {tag = "finalized", depth = 12}
    chains[0].finality: must be one of { tag = "finalized" } and { depth = 12 }
chains.0.finality = {tag = "latest"}
    chains[0].finality.tag: "latest" is wrong; give "finalized"
chains.0.finality = "finalized"
    chains[0].finality: "finalized" is wrong; give { tag = "finalized" } or { depth = 12 }
chains.0.poll_s = true
    chains[0].poll_s: true is wrong; give seconds between two looks at the chain, more than 0 and at most 3600
chains.0.poll_s = nan
    chains[0].poll_s: nan is wrong; give seconds between two looks at the chain, more than 0 and at most 3600
chains.0.treasury = "0x70997970c51812dc3A010C7d01b50e0d17dc79C8"
    chains[0].treasury: 0x70997970c51812dc3A010C7d01b50e0d17dc79C8 is mistyped: its capitals don't fit (EIP-55 checksum); copy it again from where it came from
chains.0.treasury = "0x0000000000000000000000000000000000000000"
    chains[0].treasury: this is the zero address: coins sent there are lost; give an address of a real account or contract
chains.0.treasury = "0x70997970c51812dc3a010c7d01b50e0d17dc79c"
    chains[0].treasury: "0x70997970c51812dc3a010c7d01b50e0d17dc79c" is wrong; give the account that gets all coins, "0x" and 40 hexadecimal digits
chains.0.tokens.0.decimals = -1
    chains[0].tokens[0].decimals: -1 is wrong; give the contract's decimals, from 0 to 36; USDC has 6
chains.0.tokens.0.peg = "EURO"
    chains[0].tokens[0].peg: "EURO" is no ISO 4217 code of a currency in use; give three capitals, for example "KES"
chains.0.tokens.0.least = "0.0000001"
    chains[0].tokens[0].least: "0.0000001" has too many digits: USDC has at most 6 after the point.
chains.0.tokens.0.least = "0"
    chains[0].tokens[0].least: must be more than 0; leave it out instead
corridors.0.country = "ke"
    corridors[0].country: "ke" is no ISO 3166 country code; did you mean "KE"?
corridors.0.country = "EU"
    corridors[0].country: "EU" is no ISO 3166 country code; give two capitals, for example "KE"
corridors.0.currency = "kes"
    corridors[0].currency: "kes" is no ISO 4217 code of a currency in use; did you mean "KES"?
corridors.0.currency = "DEM"
    corridors[0].currency: "DEM" is no ISO 4217 code of a currency in use; give three capitals, for example "KES"
corridors.0.methods.0 = "pigeon"
    corridors[0].methods[0]: "pigeon" is wrong; give a list of some of mobile_money, bank, card, cash, exchange
corridors.0.methods = []
    corridors[0].methods: a list is wrong; give a list of some of mobile_money, bank, card, cash, exchange
corridors.0.spread_bps = -1
    corridors[0].spread_bps: -1 is wrong; give hundredths of a percent from 0 to 9999, as in 50 for 0.5 %
corridors.0.spread_bps = 10000
    corridors[0].spread_bps: 10000 is wrong; give hundredths of a percent from 0 to 9999, as in 50 for 0.5 %
corridors.0.fee = 10.5
    corridors[0].fee: 10.5 is not an amount; write a decimal in quotes, for example "10.5"
corridors.0.fee = "-1"
    corridors[0].fee: "-1" is not an amount. Write digits with a point before the fraction, for example "10.50".
corridors.0.fee = "0.001"
    corridors[0].fee: "0.001" has too many digits: KES has at most 2 after the point.
corridors.0.min = "0"
    corridors[0].min: must be more than 0; give the smallest payout that makes sense
corridors.0.max = "99.99"
    corridors[0].max: 99.99 KES is less than min (100.00 KES); give at least that
corridors.0.economy = {every_s = 0, fee = "5"}
    corridors[0].economy.every_s: 0 is wrong; give seconds between two drops, from 1 to 604800, as in 3600
corridors.0.economy = {every_s = 3600, fee = "5.001"}
    corridors[0].economy: "5.001" has too many digits: KES has at most 2 after the point.
payouts = {two_persons_above = "-1"}
    payouts.two_persons_above: "-1" is not an amount. Write digits with a point before the fraction, for example "10.50".
treasury = {reconcile_every_s = 0}
    treasury.reconcile_every_s: 0 is wrong; give seconds between two reconciliations, from 1 to 604800
experience = {half_life_h = 0}
    experience.half_life_h: 0 is wrong; give after how many hours a payment counts half, from 1 to 8760, as in 336 for two weeks
experience = {half_life_h = 1, now_minutes = 60}
    experience.now_minutes: now can't be compared with what is forgotten sooner: give less than half_life_h (1 h)
pricing.sources = [{name = "desk", kind = "file"}]
    pricing.min_sources: a price needs 2 sources and 1 is listed; add [[pricing.sources]] or give at most 1
pricing.min_sources = 3
    pricing.min_sources: a price needs 3 sources and 2 are listed; add [[pricing.sources]] or give at most 2
pricing.sources.0 = {name = "ecb", kind = "ecb"}
    pricing.min_sources: a price needs 2 sources and 0 are listed that vote (those of kind ecb or with bound_bps only bound the others); add [[pricing.sources]]
pricing.sources.1 = {name = "desk", kind = "file", bound_bps = 500}
    pricing.min_sources: a price needs 2 sources and 1 is listed that vote (those of kind ecb or with bound_bps only bound the others); add [[pricing.sources]] or give at most 1
pricing.sources.1.bound_bps = 0
    pricing.sources[1].bound_bps: 0 is wrong; give by how many hundredths of a percent a rate that others agree on may be off this source's, which then doesn't vote, from 1 to 9999, as in 500
pricing.quote_ttl_s = 0
    pricing.quote_ttl_s: 0 is wrong; give for how many seconds a quote holds, from 1 to 604800, as in 900
pricing.breakers = {jump_bps = 0}
    pricing.breakers.jump_bps: 0 is wrong; give by how many hundredths of a percent a price may move within jump_per_s, from 1 to 9999
pricing.breakers = {par_assumed = "perhaps"}
    pricing.breakers.par_assumed: "perhaps" is wrong; give true if a coin that no source prices counts as worth its peg, false if it isn't taken
pricing.ttl = {sigmas = 0}
    pricing.ttl.sigmas: 0 is wrong; give how many standard deviations a quote has to bear, from 1 to 10
pricing.exposure_cap = 500
    pricing.exposure_cap: 500 is not an amount; write a decimal in quotes, for example "10.5"
pricing.sources.0.app_id = ["CANARY"]
    pricing.sources[0].app_id: the value is wrong; give the key that the source gave you
pricing.sources.0.app_id = ""
    pricing.sources[0].app_id: the value is wrong; give the key that the source gave you
"""
LINES = MISTAKES.strip().splitlines()


@pytest.mark.parametrize(("change", "sentence"), list(zip(LINES[::2], LINES[1::2], strict=True)), ids=LINES[::2])
def test_each_mistake_gets_one_sentence_that_says_what_would_be_right(tree, complaints, change, sentence):
    place, _, value = change.partition(" = ")
    wrong = ... if value == "..." else tomllib.loads(f"value = {value}")["value"]
    assert complaints(tree.changed(place, wrong)) == [sentence.strip()]


def test_strange_keys_and_numbers_stay_on_one_short_line(tree, complaints):
    assert complaints(tree.changed("server.port", 16**5000)) == [
        "server.port: such a large number is wrong; give a port from 1 to 65535"
    ]
    assert complaints(tree.changed("server.x\ny", 1)) == [
        r'server."x\ny": unknown key; known are public_url, host, port, token_key_file, metrics_token'
    ]
    assert complaints(tree.changed("server.port", "\n" + 99 * "x")) == [
        rf'server.port: "\n{59 * "x"}..." is wrong; give a port from 1 to 65535'
    ]


@pytest.mark.parametrize(
    ("place", "changes", "line"),
    [
        ("chains.0", {"chain_id": "31337"}, 'chains[1].name: "base" stands at chains[0].name too; give each its own'),
        (
            "chains.0",
            {"name": "other", "chain_id": "8453"},
            'chains[1].chain_id: "8453" stands at chains[0].chain_id too; give each its own',
        ),
        (
            "corridors.0",
            {"methods": ["cash", "bank"]},
            'corridors[1].methods[1]: "bank" stands at corridors[0].methods[1] too; one corridor per country, currency and method',
        ),
        (
            "pricing.sources.0",
            {},
            'pricing.sources[1].name: "oxr" stands at pricing.sources[0].name too; give each its own',
        ),
        (
            "pricing.sources.1",
            {"name": "also"},
            'pricing.sources[2].path: "rates.json" stands at pricing.sources[1].path too; nobody has two voices: list it once',
        ),
    ],
)
def test_what_tells_things_apart_may_not_stand_twice(tree, complaints, place, changes, line):
    second = {**copy.deepcopy(tree.at(place)), **changes}
    assert complaints(tree.changed(place.removesuffix("0") + "1", second)) == [line]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"symbol": "usdc", "address": USDT},
            'chains[0].tokens[1].symbol: "usdc" stands at chains[0].tokens[0].symbol too; give each its own',
        ),
        (
            {"symbol": "USDC.e", "address": "0x833589fcd6edb6e08f4c7c32d4f71b54bda02913"},
            'chains[0].tokens[1].address: "0x833589fcd6edb6e08f4c7c32d4f71b54bda02913" stands at chains[0].tokens[0].address too; give each its own',
        ),
    ],
)
def test_no_chain_has_a_symbol_or_an_address_twice(tree, complaints, changes, line):
    unknown = tree.changed("chains.0.tokens.1", {**tree.at("chains.0.tokens.0"), **changes})
    unknown["chains"][0]["chain_id"] = 31337  # a chain of which the registry knows nothing
    assert complaints(unknown) == [line]


def test_the_same_token_on_two_chains_and_the_same_method_in_two_countries_are_fine(tree):
    both = tree.changed("chains.1", {**tree.at("chains.0"), "name": "fork", "chain_id": 31337})
    both["corridors"].append({**tree.at("corridors.0"), "country": "TZ"})
    assert len(parse(tree=both).chains) == 2


def test_all_problems_are_told_at_once(tree, complaints):
    wrong = tree.changed("server.port", 0)
    wrong["chains"].append({"name": "base", "quorum": 1})
    wrong["corridors"][0] |= {"currency": "XYZ", "min": "1e5", "fee": "nonsense", "spread_bps": -1}
    assert [line.partition(":")[0] for line in complaints(wrong)] == [
        "server.port",
        "chains[1].chain_id",
        "chains[1].rpc",
        "chains[1].finality",
        "chains[1].treasury",
        "chains[1].tokens",
        "corridors[0].currency",
        "corridors[0].spread_bps",
        "chains[1].name",
    ]


def test_problems_are_pairs_for_programs(tree):
    with pytest.raises(ConfigError) as caught:
        parse(tree=tree.changed("server.port", 0))
    assert caught.value.problems == (("server.port", "0 is wrong; give a port from 1 to 65535"),)


def test_nothing_that_prints_settings_shows_a_secret(tree):
    secretive = tree.changed("database", {"url": "postgresql://u:CANARY@h/d"})
    secretive["pricing"]["sources"][1]["base_url"] = "https://rates.example/CANARY"
    good = parse(tree=secretive)
    assert "CANARY" not in repr(good) + str(good) + repr(good.adapters["mpesa"]) + repr(good.chains)


def test_no_traceback_of_a_refusal_carries_the_values(tree):
    with pytest.raises(ConfigError) as caught:
        parse(tree=tree.changed("server.port", 0))
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_settings_cannot_be_changed(tree):
    good = parse(tree=tree.good)
    with pytest.raises(ValueError, match="frozen"):
        good.server.port = 1
    with pytest.raises(TypeError):
        good.adapters["mpesa"].settings["kind"] = 1


def test_currencies_have_the_decimals_of_iso_4217():
    wanted = {"KES": 2, "UGX": 0, "XOF": 0, "RWF": 0, "USD": 2, "KWD": 3, "IQD": 3, "MGA": 2, "LBP": 2, "CLP": 0, "JPY": 0}
    assert {code: currency_asset(code).decimals for code in wanted} == wanted


def test_currencies_and_countries_are_those_of_today():
    assert {"KES", "UGX", "XOF", "INR", "MXN", "NGN", "PHP", "ZWG"} <= currencies()
    assert not {"DEM", "ZWD", "XXX", "kes"} & currencies()
    assert {"KE", "UG", "SN", "IN", "MX", "XK"} <= countries()
    assert not {"EU", "UN", "ZZ", "XA", "001", "UK"} & countries()
