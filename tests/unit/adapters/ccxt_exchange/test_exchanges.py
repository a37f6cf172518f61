"""What exchanges say, read exactly; what is sold, and what never is."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from fractions import Fraction

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from adapters.ccxt_exchange import cashout, codes, spei, webhooks
from adapters.ccxt_exchange.adapter import CcxtExchange
from adapters.ccxt_exchange.bitso import SELL, WEBHOOK, WITHDRAW, Bitso
from adapters.ccxt_exchange.coinsph import QUOTE, CoinsPh
from adapters.ccxt_exchange.market import to_sell
from adapters.ccxt_exchange.settings import MXN, PHP, ExchangeSettings
from adapters.ccxt_exchange.simulator import coins_app
from adapters.ccxt_exchange.simulator.bitso import ABSENT, app
from adapters.ccxt_exchange.simulator.papers import USDC
from gateway.clock import system_clock
from gateway.contract.harness import eventually, free_address, running
from gateway.ids import new_id
from gateway.legs import Leg, LegReport, leg_id
from gateway.money import Money
from gateway.offramp import (
    RAILS_OWN,
    AdapterContext,
    BadSettings,
    CallbackRequest,
    Destination,
    Fault,
    ForgedCallback,
    Instruction,
    Method,
    NotSent,
    Outcome,
    OutsideLimits,
)
from gateway.payouts.inbox import KEPT_HEADERS, SIGNING
from gateway.railkit.http import Answer
from gateway.railkit.meanings import Kind
from gateway.railsim import Options, Scenario

PLAIN = {"exchange": "bitso", "base_url": "https://exchange.example/api", "api_key": "key", "api_secret": "canary-secret"}
CLABE = "646180110400000007"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PUBLIC = base64.b64encode(KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


def made(**settings):
    given = {**PLAIN, **settings}
    return CcxtExchange(
        AdapterContext(name="x", settings=given, callback_address=lambda a, b: f"{a}/{b}", clock=system_clock)
    )


def payment(units=100_00, account=CLABE, asset=MXN, country="MX", method=Method.BANK, institution=None):
    to = Destination(country=country, method=method, account=account, holder="Canary Holder", institution=institution)
    return Instruction(attempt_id=new_id("att", now=system_clock()), deliver=Money(units, asset), to=to)


def leg_of(instruction, number=1, name=SELL, **more):
    return Leg(leg_id=leg_id(instruction.attempt_id, number), name=name, payment=instruction, **{"done": {}, **more})


# -- CLABEs ------------------------------------------------------------------------------------------------------------


def test_a_clabe_has_a_check_digit():
    # The documents' own examples.
    assert spei.is_clabe("646180110400000007")
    assert spei.is_clabe("002010077777777771")
    assert not spei.is_clabe("646180110400000008")
    for wrong in ("", "64618011040000000", "6461801104000000071", "64618011040000000a", "６46180110400000007"):
        assert not spei.is_clabe(wrong)


async def test_nvios_clabes_and_bad_ones_are_refused_before_anything_is_sold():
    adapter = made(base_url=free_address())
    nvio = next(f"71018011040000000{d}" for d in range(10) if spei.is_clabe(f"71018011040000000{d}"))
    for account in (nvio, CLABE[:-1] + "8", "+5215512345678"):
        for number, name in ((1, SELL), (2, WITHDRAW)):
            with pytest.raises(OutsideLimits) as refused:
                await adapter.pay_leg(leg_of(payment(account=account), number, name))
            assert account not in str(refused.value)
    await adapter.close()


# -- what is sold ------------------------------------------------------------------------------------------------------


def settings_of(**more):
    return ExchangeSettings.read({**PLAIN, "sell_fee_bps": 0, "cushion_bps": 0, "least_sale": "0.00", **more})


def bids(*rows):
    return [(Fraction(price), Fraction(amount)) for price, amount in rows]


def test_enough_is_sold_for_payment_and_fees_rounded_up():
    pesos = Money(170_00, MXN)
    assert to_sell(bids((17, 100)), deliver=pesos, settings=settings_of()) == Money(10_000_000, USDC)
    assert to_sell(bids((17, 100)), deliver=Money(100_00, MXN), settings=settings_of()).units == 5_882_353
    with_fees = to_sell(bids((17, 100)), deliver=pesos, settings=settings_of(sell_fee_bps=100, withdraw_fee="3.00"))
    assert with_fees.units == -(-173 * 10_000 * 10**6 // (9_900 * 17))
    assert to_sell(bids((17, 100)), deliver=pesos, settings=settings_of(cushion_bps=100)).units == 10_100_000


def test_a_small_payment_sells_at_least_what_the_exchange_takes():
    assert to_sell(bids((10, 100)), deliver=Money(100, MXN), settings=settings_of(least_sale="50.00")).units == 5_000_000


def test_what_is_wanted_at_lower_prices_is_sold_there_up_to_the_cap():
    book = bids((17, 5), (16, 100))
    assert to_sell(book, deliver=Money(165_00, MXN), settings=settings_of(slippage_most_bps=500)).units == 10_000_000
    with pytest.raises(NotSent, match="best price"):
        to_sell(book, deliver=Money(165_00, MXN), settings=settings_of(slippage_most_bps=100))


@pytest.mark.parametrize("book", [[], bids((17, 1))])
def test_a_thin_book_sells_nothing(book):
    with pytest.raises(NotSent, match="thin"):
        to_sell(book, deliver=Money(165_00, MXN), settings=settings_of())


# -- what is read ------------------------------------------------------------------------------------------------------


def trade(**more):
    read = {"oid": "o1", "major": "-2.5", "minor": "42.505", "fees_amount": "0.2125", "fees_currency": "mxn"}
    return {**read, **more}


def test_trades_are_added_up_exactly_and_rounded_against_us():
    found = spei.fills([trade(), trade()], coin=USDC)
    assert (found.sold, found.brought, found.fee) == (Money(5_000_000, USDC), Money(8458, MXN), Money(43, MXN))
    in_coins = spei.fills([trade(fees_currency="usdc", fees_amount="0.01")], coin=USDC)
    assert (in_coins.sold, in_coins.brought, in_coins.fee.units) == (Money(2_510_000, USDC), Money(4250, MXN), 0)


@pytest.mark.parametrize("trades", [[], [trade(minor="x")], [trade(major=None)], [trade(fees_amount="NaN")], [{}], ["x"]])
def test_trades_that_cannot_be_read_are_none(trades):
    assert spei.fills(trades, coin=USDC) is None


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"\xff", b'{"success":true}', b'{"success":"true","payload":1}'])
def test_a_body_that_is_no_answer_is_no_success_and_no_failure(body):
    code, means = spei.refusal(Answer(200, {}, body), settings=settings_of())
    assert (code, means.kind) == ("HTTP 200", Kind.AMBIGUOUS)


def test_every_code_says_what_it_proves_and_an_unlisted_one_proves_nothing():
    for table in (
        codes.BITSO,
        codes.COINS,
        codes.BITSO_WITHDRAWALS,
        codes.BITSO_ORDERS,
        codes.COINS_PAYOUTS,
        codes.COINS_SALES,
    ):
        for means in table.values():
            assert (means.fault is not None) == (means.kind in (Kind.FAILED, Kind.NOT_PROCESSED, Kind.BAD_TOKEN))
        assert codes.meaning(table, "PROCESSING2").kind is Kind.AMBIGUOUS
    assert codes.meaning(codes.BITSO, "0379", float_codes=("0379",)).fault is Fault.FLOAT
    assert spei.refusal(Answer(429, {}, b"{}"), settings=settings_of())[1].fault is Fault.TRANSIENT
    assert spei.refusal(Answer(500, {}, b'{"success":true,"payload":1}'), settings=settings_of())[1].kind is Kind.AMBIGUOUS
    assert cashout.refusal(Answer(200, {}, b'{"code":-1007}'), settings=settings_of())[1].kind is Kind.AMBIGUOUS
    assert (
        cashout.refusal(Answer(200, {}, b'{"status":88010007,"data":null}'), settings=settings_of())[1].kind
        is Kind.AMBIGUOUS
    )
    assert cashout.refusal(Answer(200, {}, b'{"status":0,"data":{}}'), settings=settings_of()) is None


def test_accounts_are_written_as_instapay_has_them():
    to = Destination(country="PH", method=Method.MOBILE_MONEY, account="+639171234567", holder="x")
    assert cashout.account_of(to) == "09171234567"
    assert cashout.account_of(replace(to, account="+63271234567")) is None
    assert cashout.account_of(replace(to, method=Method.BANK, account="001234567890")) == "001234567890"
    assert cashout.account_of(replace(to, method=Method.BANK, account="12-34")) is None


# -- webhooks ----------------------------------------------------------------------------------------------------------


def delivery(payload, *, body=None, key=KEY, attempt_id=RAILS_OWN, label=WEBHOOK):
    signed = json.dumps(payload, separators=(",", ":"), ensure_ascii=False)
    signature = base64.b64encode(key.sign(signed.encode(), PKCS1v15(), SHA256())).decode()
    whole = body or json.dumps({"event": "withdrawal", "payload": payload}, indent=2, ensure_ascii=False)
    headers = {"x-bitso-webhook-event-signature": signature, "x-bitso-key-id": "k"}
    return CallbackRequest(
        attempt_id=attempt_id, label=label, headers=headers, body=whole.encode(), received_at=system_clock()
    )


def test_the_payload_alone_is_signed_in_its_own_order_with_its_own_numbers():
    text = '{"event": "withdrawal",\n "payload": {"b": 1.50, "a": "x \\"y\\" ñ", "c": [1e2, null]}}'
    assert webhooks.payload_text(text) == '{"b":1.50,"a":"x \\"y\\" ñ","c":[1e2,null]}'
    for wrong in ('{"event":"x"}', '{"payload":{},"payload":{}}', "[]", ""):
        with pytest.raises(ValueError, match="payload"):
            webhooks.payload_text(wrong)


def test_a_signed_withdrawal_names_its_attempt_and_proves_nothing_by_itself():
    adapter, attempt_id = made(webhook_keys={"k": PUBLIC}), new_id("att", now=system_clock())
    details = {"origin_id": leg_id(attempt_id, 2), "beneficiary_name": "José Canary", "beneficiary_clabe": CLABE}
    told = delivery({"wid": "w1", "status": "complete", "amount": "200.50", "currency": "mxn", "details": details})
    assert adapter.attempt_of(told) == attempt_id
    kept = {name: value for name, value in told.headers.items() if name in KEPT_HEADERS or name.endswith(SIGNING)}
    callback = adapter.read_callback(replace(told, attempt_id=attempt_id, headers=kept))
    assert (callback.proof, callback.report.outcome) == (False, Outcome.UNKNOWN)
    assert "Canary" not in repr(callback)
    assert CLABE not in repr(callback)
    with pytest.raises(ForgedCallback):
        adapter.read_callback(replace(told, attempt_id="att_other"))


def test_a_withdrawal_of_somebody_elses_is_nobodys():
    adapter = made(webhook_keys={"k": PUBLIC})
    assert adapter.attempt_of(delivery({"wid": "w1", "status": "complete", "details": {}})) is None


def test_what_bitso_did_not_sign_is_refused():
    adapter = made(webhook_keys={"k": PUBLIC})
    payload = {"wid": "w1", "status": "complete", "details": {"origin_id": "leg_x_2"}}
    good = delivery(payload)
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    changed = json.dumps({"event": "withdrawal", "payload": {**payload, "wid": "w2"}})
    for bad in (
        delivery(payload, key=other),
        delivery(payload, body=changed),
        replace(good, headers={}),
        replace(good, headers={"x-bitso-webhook-event-signature": "%%%"}),
        replace(good, label="elsewhere"),
    ):
        with pytest.raises(ForgedCallback):
            adapter.attempt_of(bad)
    with pytest.raises(ForgedCallback):
        made().attempt_of(good)


# -- settings ----------------------------------------------------------------------------------------------------------


def test_wrong_settings_are_told_in_sentences_without_values():
    wrong = {"exchange": "mtgox", "least": "ten", "api_secret": " ", "webhook_keys": {"k": "canary"}, "sell_fee_bps": 10_000}
    with pytest.raises(BadSettings) as refused:
        made(**wrong)
    assert set(refused.value.problems) == set(wrong)
    assert "canary" not in str(refused.value)
    assert "mtgox" not in str(refused.value)


def test_the_settings_choose_exchange_legs_and_corridors():
    assert [plan.name for plan in made().legs] == [SELL, WITHDRAW]
    assert [plan.name for plan in made(sell=False).legs] == [WITHDRAW]
    coins = made(exchange="coinsph", subjects={"gcash": "gcash", "BOPIPHMM": "bpi"})
    assert isinstance(coins, CoinsPh)
    assert [plan.name for plan in coins.legs] == [QUOTE, SELL, WITHDRAW]
    assert [each.method for each in coins.capabilities.corridors] == [Method.MOBILE_MONEY, Method.BANK]
    assert isinstance(made(), Bitso)
    assert "canary-secret" not in repr(made()) + repr(vars(made())["_settings"])


# -- against the simulators: what the contract suite doesn't ask -------------------------------------------------------


@pytest.fixture(scope="module")
def bitso():
    with running(app(Options(delay_s=0))) as rail:
        yield rail


@pytest.fixture
async def adapter(bitso):
    bitso.forget_scripts()
    made_ = made(**bitso.settings())
    yield made_
    await made_.close()


@pytest.mark.parametrize("scenario", [Scenario.ANSWER_LOST, Scenario.CUT_BEFORE_ACCEPT])
async def test_a_sale_without_an_answer_is_found_by_our_id_or_stays_unknown(bitso, adapter, scenario):
    sale = leg_of(payment())
    bitso.script(scenario, match={"id": sale.leg_id})
    with pytest.raises(Exception, match="no answer"):
        await adapter.pay_leg(sale)
    report = await adapter.leg_status(sale)
    assert report.outcome is (Outcome.PAID if scenario is Scenario.ANSWER_LOST else Outcome.UNKNOWN)


async def test_a_sale_filled_in_parts_is_pending_until_all_is_sold(bitso, adapter):
    sale = leg_of(payment())
    bitso.script(Scenario.PENDING_POLLS, polls=2, match={"id": sale.leg_id})
    assert (await adapter.pay_leg(sale)).outcome is Outcome.PENDING
    assert (await adapter.leg_status(sale)).outcome is Outcome.PENDING
    seen = [await adapter.leg_status(sale) for _ in range(2)][-1]
    assert seen.outcome is Outcome.PAID
    assert seen.got >= sale.payment.deliver
    assert (seen.gave.asset, seen.fee.asset) == (USDC, MXN)


async def test_a_sale_that_was_cancelled_unsold_fails_for_now(bitso, adapter):
    sale = leg_of(payment())
    bitso.script(Scenario.FAILED, match={"id": sale.leg_id})
    assert (await adapter.pay_leg(sale)).outcome is Outcome.PENDING
    report = await adapter.leg_status(sale)
    assert (report.outcome, report.fault) == (Outcome.FAILED, Fault.TRANSIENT)


async def test_from_float_one_leg_pays(bitso):
    adapter = made(**bitso.settings(), sell=False)
    bitso.hold(Money(1_000_00, MXN))
    alone = leg_of(payment(), 1, WITHDRAW)
    first = await adapter.pay_leg(alone)
    await eventually(lambda: bitso.payouts(alone.leg_id)[0]["final_at"], what="the withdrawal to be final")
    report = await adapter.leg_status(replace(alone, provider_ref=first.provider_ref))
    assert (report.outcome, report.got, report.gave) == (Outcome.PAID, alone.payment.deliver, alone.payment.deliver)
    assert report.evidence["cep_link"].startswith("https://www.banxico.org.mx/cep/")
    await adapter.close()


async def test_another_signed_prefix_is_signed(bitso):
    settings = bitso.settings()
    adapter = made(**{**settings, "signed_prefix": ""})
    with pytest.raises(NotSent) as refused:
        await adapter.pay_leg(leg_of(payment(), 1, WITHDRAW))
    assert refused.value.fault is Fault.RAIL
    await adapter.close()


async def test_a_quote_that_is_too_old_or_too_dear_sells_nothing():
    with running(coins_app(Options(delay_s=0))) as rail:
        settings = rail.settings()
        adapter = made(**settings)
        wallet = payment(account="+639171234567", asset=PHP, country="PH", method=Method.MOBILE_MONEY, institution="gcash")
        quote = await adapter.pay_leg(leg_of(wallet, 1, QUOTE))
        assert (quote.outcome, quote.gave, quote.got) == (Outcome.PAID, None, None)
        old = replace(quote, facts={**quote.facts, "expires": "2020-01-01T00:00:00+00:00"})
        report = await adapter.pay_leg(leg_of(wallet, 2, SELL, done={QUOTE: old}))
        assert (report.outcome, report.fault) == (Outcome.FAILED, Fault.TRANSIENT)
        sold = await adapter.pay_leg(leg_of(wallet, 2, SELL, done={QUOTE: quote}))
        assert (sold.outcome, sold.got) == (Outcome.PAID, wallet.deliver)
        again = await adapter.leg_status(leg_of(wallet, 2, SELL, done={QUOTE: quote}))
        assert again == sold
        other = LegReport(outcome=Outcome.PAID, provider_ref="q", facts={"quote": "q", "expires": quote.facts["expires"]})
        assert (await adapter.leg_status(leg_of(wallet, 2, SELL, done={QUOTE: other}))).outcome is Outcome.UNKNOWN
        await adapter.close()


def test_the_simulator_says_why_it_cannot_play_the_rest():
    assert all(ABSENT.values())
