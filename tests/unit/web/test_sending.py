"""Form and price, with the real arithmetic and without a database."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import httpx
import pytest

from gateway.money import Money
from gateway.offramp import Method
from gateway.pricing import breakdown
from gateway.pricing.consensus import RateUnavailable
from gateway.pricing.offer import Offer
from gateway.pricing.quotes import QuoteView
from gateway.pricing.requests import QuoteRequest
from gateway.pricing.tariffs import ENDLESS, Band, Cost, Schedule
from gateway.web import forms
from tests.unit.web.site import FILLED, KES, Outline, Site, quote, terms

WRONG_AMOUNTS = (
    "", "1e5", "-1", "+1", "NaN", "1_000", "\u0661\u0660\u0660", "0x10", "1,000.50", "1.000,50", "1 000", ".5", "5.", "01",
    "1.001", "1." + "0" * 30, "9" * 100, "0.5", "250001", "\x00",
)  # fmt: skip


TYPED = FILLED | {"second": "", "speed": "standard", "institution": ""}
"""What a form holds whose optional parts were left alone."""


@pytest.mark.parametrize("amount", WRONG_AMOUNTS)
async def test_a_wrong_amount_gets_a_sentence_at_its_field_and_nothing_is_written(
    client: httpx.AsyncClient, site: Site, amount: str
) -> None:
    answer = await client.post("/quote", data=FILLED | {"amount": amount})
    page = Outline(answer.text)
    assert answer.status_code == 422
    assert page.one("input", name="amount")["aria-invalid"] == "true"
    assert "amount-wrong" in page.one("input", name="amount")["aria-describedby"].split()
    assert page.one("p", id="amount-wrong")
    assert page.all("a", href="#amount")
    assert page.text.startswith("Please check: ")
    assert page.one("input", name="name")["value"] == FILLED["name"]
    assert (site.engine.committed, site.engine.undone) == (0, 1)


@pytest.mark.parametrize(
    ("amount", "sentence"),
    [
        ("1,000.50", '"1,000.50" is not an amount. Write digits with a point before the fraction, for example "10.50".'),
        ("1.000,50", '"1.000,50" is not an amount.'),
        ("", 'Write an amount, for example "50".'),
        ("5", "The recipient has to get at least 100.00 KES"),
        ("100.5", "100.50 KES can't be paid out exactly. The nearest amounts are 100.00 KES and 101.00 KES."),
    ],
)
async def test_the_sentence_says_what_would_be_right(client: httpx.AsyncClient, amount: str, sentence: str) -> None:
    answer = await client.post("/quote", data=FILLED | {"amount": amount})
    assert sentence in Outline(answer.text).text


@pytest.mark.parametrize(
    "phone", ["", "12", "0712", "+254 20 2222222", "+1 212 555 0100", "\u0660\u0667\u0661", "x" * 10_000]
)
async def test_a_wrong_number_gets_a_sentence_and_nothing_is_written(
    client: httpx.AsyncClient, site: Site, phone: str
) -> None:
    answer = await client.post("/quote", data=FILLED | {"phone": phone})
    page = Outline(answer.text)
    assert answer.status_code == 422
    assert "Write it like +254 712 123456." in page.text
    assert page.one("input", name="phone")["value"] == phone
    assert len(page.all("a", href="#phone")) == 1
    # The quote was good and its row is taken back all the same.
    assert (site.engine.committed, site.engine.undone) == (0, 1)


@pytest.mark.parametrize("name", ["", "   ", "123", "x" * 101, "a\u202eb", "a\x00b"])
async def test_a_wrong_name_is_refused(client: httpx.AsyncClient, site: Site, name: str) -> None:
    answer = await client.post("/quote", data=FILLED | {"name": name})
    assert answer.status_code == 422
    assert Outline(answer.text).one("p", id="name-wrong")
    assert site.engine.committed == 0


async def test_all_that_is_wrong_is_said_at_once(client: httpx.AsyncClient) -> None:
    answer = await client.post("/quote", data=FILLED | {"amount": "x", "name": "", "phone": "1"})
    page = Outline(answer.text)
    assert [link["href"] for link in page.all("a")][1:] == ["#amount", "#name", "#phone"]
    assert "autofocus" in page.one("div", role="alert")


@pytest.mark.parametrize("field", ["corridor", "token"])
@pytest.mark.parametrize("value", ["", "XX-XXX-cash", "../..", "\x00"])
async def test_only_what_is_offered_can_be_chosen(client: httpx.AsyncClient, site: Site, field: str, value: str) -> None:
    answer = await client.post("/quote", data=FILLED | {field: value})
    assert answer.status_code == 422
    assert "Choose " in answer.text
    assert Outline(answer.text).all("a", href=f"#{field}")
    assert site.asked == []


async def test_an_empty_post_is_a_form_with_everything_to_do(client: httpx.AsyncClient) -> None:
    answer = await client.post("/quote", data={})
    assert answer.status_code == 415
    answer = await client.post("/quote", data={"x": "y"})
    assert answer.status_code == 422


async def test_a_rate_that_is_missing_is_our_fault_not_theirs(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise RateUnavailable(base="USD", quote="KES", fresh=0, needed=2, seen=[])

    monkeypatch.setattr(forms, "make_quote", refuse)
    answer = await client.post("/quote", data=FILLED)
    assert answer.status_code == 503
    assert "There is no current exchange rate for KES. Try again in a few minutes." in Outline(answer.text).text
    assert "aria-invalid" not in answer.text
    assert (await client.post("/quote", data=FILLED | {"phone": "1"})).status_code == 422


async def test_the_quote_shows_each_part_and_the_parts_add_up(client: httpx.AsyncClient) -> None:
    text = Outline((await client.post("/quote", data=FILLED)).text).text
    for part in (
        "You send 99.996889 USDC on Base",
        "They get 12,830.00 KES in Kenya",
        "Market rate for 1 USDC129.2000 KES",
        "Your coins are worth12,919.59 KES",
        "Exchange marginat 128.5540 KES\N{MINUS SIGN} 64.59 KES",
        "Our fee\N{MINUS SIGN} 25.00 KES",
        "Total cost: 0.70 %",
        "Of the 12,919.59 KES that your coins are worth, 89.59 KES pay for everything",
        "Market rate from desk, oxr, as of 22 Nov, 12:00 UTC",
        "This price holds until 22 Nov, 12:15 UTC (15 minutes left)",
        "Wanjiku Mwangi",
        "+254 712 345678",
    ):
        assert part in text.replace("\u202f", " ")


async def test_the_price_shows_what_everybody_else_takes_and_what_is_left_in_the_hand(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dear(*_: object, request: QuoteRequest, offer: Offer, now: datetime) -> QuoteView:
        made = quote(request, offer=offer, now=now)
        token, to = offer.tokens["base", "USDC"], offer.corridors["KE", "KES", Method.MOBILE_MONEY]
        to = replace(
            to,
            rail_charge=Schedule((Band(ENDLESS, (Cost(fixed=900),)),)),
            pass_on_rail_fee=True,
            cash_out=Schedule((Band(ENDLESS, (Cost(fixed=20_000, ppm=10_000),)),)),
        )
        parts = breakdown.of_receive(
            Money.parse("12830", KES),
            mid=made.mid,
            applied=made.applied,
            terms=to,
            partner_bps=50,
            network_fee=Money.parse("0.02", token.asset),
        )
        return replace(made, parts=parts)

    monkeypatch.setattr(forms, "make_quote", dear)
    page = Outline((await client.post("/quote", data=FILLED)).text)
    text = page.text.replace("\u202f", " ")
    for part in (
        "Your coins are worth12,996.23 KES",
        "Exchange marginat 128.5540 KES\N{MINUS SIGN} 64.98 KES",
        "Our fee\N{MINUS SIGN} 25.00 KES",
        "Partner’s fee\N{MINUS SIGN} 64.66 KES",
        "Payment service’s fee\N{MINUS SIGN} 9.00 KES",
        "Blockchain network’s fee\N{MINUS SIGN} 2.59 KES",
        "They get12,830.00 KES",
        "Fee for taking it out in cashcharged to them by others\N{MINUS SIGN} 328.30 KES",
        "In their hand12,501.70 KES",
        "Total cost: 3.81 %",
        "above the United Nations’ target for remittances: at most 3 %",
    ):
        assert part in text, part


async def test_where_no_fee_for_cash_is_known_none_is_shown_and_a_cheap_price_keeps_to_the_target(
    client: httpx.AsyncClient,
) -> None:
    page = Outline((await client.post("/quote", data=FILLED)).text)
    assert not page.all("tr", id="cash-out")
    assert "That keeps to the United Nations’ target" in page.text


async def test_the_amount_can_be_either_side(client: httpx.AsyncClient, site: Site) -> None:
    text = Outline((await client.post("/quote", data=FILLED | {"side": "send", "amount": " 100 "})).text).text
    assert "You send 100.00 USDC" in text
    assert site.asked[-1].send_amount == "100"
    assert site.asked[-1].receive_amount is None


async def test_what_was_typed_travels_in_the_confirming_form_and_in_no_address(client: httpx.AsyncClient) -> None:
    page = Outline((await client.post("/quote", data=FILLED)).text)
    hidden = {found["name"]: found["value"] for found in page.all("input", type="hidden")}
    assert hidden == TYPED | {"quote_id": "quo_01M82KQWF9Q6BEEG62PCPFWWHY"}
    addresses = [found.get(name, "") for _, found in page.elements for name in ("href", "action", "formaction")]
    assert not [address for address in addresses if "Wanjiku" in address or "712" in address]
    assert page.one("form")["method"] == "post"


async def test_the_form_can_be_taken_up_again_with_what_was_typed(client: httpx.AsyncClient) -> None:
    page = Outline((await client.post("/", data=FILLED | {"side": "send"})).text)
    assert page.one("input", name="amount")["value"] == "12830"
    assert page.one("input", name="side", checked="")["value"] == "send"
    assert not page.all("p", id="amount-wrong")


@pytest.mark.parametrize("quote_id", ["", "x" * 65, "quo_1\x00", "' OR 1=1", "quo-1"])
async def test_a_quote_id_that_is_none_never_reaches_the_database(
    client: httpx.AsyncClient, site: Site, quote_id: str
) -> None:
    answer = await client.post("/orders", data=FILLED | {"quote_id": quote_id})
    page = Outline(answer.text)
    assert answer.status_code == 409
    assert "There is no such quote. Ask for a new quote." in page.text
    assert page.one("form")["action"] == "/quote"
    assert {found["name"]: found["value"] for found in page.all("input", type="hidden")} == TYPED
    assert site.engine.undone == 1


def test_corridors_that_differ_in_one_part_are_different_choices() -> None:
    from tests.unit.web.site import MANY

    assert len(forms.Choices.of(MANY).corridors) == len(MANY.corridors)
    assert terms("KE", KES) in forms.Choices.of(MANY).corridors.values()
