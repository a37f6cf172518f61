from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from gateway.orders.accept import Accepted
from gateway.orders.funding import book_deposits
from gateway.payouts.dispatch import dispatch
from tests.factories import USDC, USDT, make_deposit
from tests.integration.api.desk import RECIPIENT, TTL, URL, Desk, Partner, problem

pytestmark = pytest.mark.asyncio(loop_scope="module")
OWN_ADDRESS = "0x5FbDB2315678afecb367f032d93F642f64180aa3"


async def ordered(desk: Desk, partner: Partner, key: str, **changes: Any) -> dict[str, Any]:
    answer = await desk.order(partner, key, await desk.quoted(partner), **changes)
    assert answer.status_code == 201, answer.text
    document: dict[str, Any] = answer.json()
    return document


async def refused(
    desk: Desk, partner: Partner, quote_id: str, status: int, code: str, *fields: str, **changes: Any
) -> dict[str, Any]:
    """The problem that an order meets, and that it wrote nothing: not even its key."""
    async with desk.nothing_written():
        return problem(await desk.order(partner, "refused", quote_id, **changes), status, code, *fields)


async def test_an_order_says_where_to_send_what_until_when(desk: Desk, partner: Partner) -> None:
    quote_id = await desk.quoted(partner)
    answer = await desk.order(partner, "happy", quote_id, reference="INV-7", metadata={"till": "3"})
    assert answer.status_code == 201
    assert "idempotency-replayed" not in answer.headers
    document = answer.json()
    (row,) = await desk.run("SELECT * FROM orders WHERE id = :id", id=document["id"])
    address = document["deposit"]["address"]
    for sentence in (document.pop("message"), document.pop("next_step")):
        assert "10.000000 USDC" in sentence
    assert (row.partner_id, row.state, row.deposit_address) == (partner.id, "awaiting_deposit", address.lower())
    assert document == {
        "id": row.id,
        "status": "awaiting_deposit",
        "reason": "awaiting_deposit",
        "money_is_with": "sender",
        "quote_id": quote_id,
        "send": {"asset": "USDC", "amount": "10.000000", "chain": "dev", "chain_id": 31337},
        "receive": {"country": "KE", "currency": "KES", "method": "mobile_money", "amount": "1249.00"},
        "received": {"asset": "USDC", "amount": "0.000000"},
        "unallocated": {"asset": "USDC", "amount": "0.000000"},
        "owed": None,
        "speed": "standard",
        "drop_at": None,
        "there_by": None,
        "recipient": {
            "name": "Wanjiku Kamau",
            "account": "••••••••••678",
            "ways": [{"rank": 0, "method": "mobile_money", "account": "••••••••••678", "given_later": False}],
        },
        "deposit": {
            "chain": "dev",
            "chain_id": 31337,
            "asset": "USDC",
            "address": address,
            "amount": "10.000000",
            "uri": f"ethereum:0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913@31337/transfer?address={address}&uint256=10000000",
            "expires_at": "2026-11-22T12:15:00Z",
        },
        "deposits": [],
        "attempts": [],
        "rail": None,
        "rail_receipt": None,
        "pickup": None,
        "tracking_url": f"{URL}/t/{row.tracking_token}",
        "refund_address": None,
        "refunds": [],
        "reference": "INV-7",
        "metadata": {"till": "3"},
        "created_at": "2026-11-22T12:00:00Z",
        "updated_at": "2026-11-22T12:00:00Z",
    }
    (stored,) = await desk.run("SELECT account FROM recipients WHERE order_id = :id", id=row.id)
    assert stored.account == "+254712345678"


async def test_the_tracking_page_of_an_order_opens(desk: Desk, partner: Partner) -> None:
    document = await ordered(desk, partner, "tracked")
    page = await desk.client.get(document["tracking_url"])
    assert (page.status_code, document["deposit"]["address"] in page.text) == (200, True)


async def test_an_order_reads_as_it_was_answered(desk: Desk, partner: Partner) -> None:
    document = await ordered(desk, partner, "read", metadata={"b": "2", "a": "1"})
    answer = await desk.see(partner, document["id"])
    assert (answer.status_code, answer.json()) == (200, document)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_an_order_follows_its_money(desk: Desk, partner: Partner) -> None:
    document = await ordered(desk, partner, "followed")
    accepted = Accepted(order_id=document["id"], tracking_token="")

    async def stands() -> dict[str, Any]:
        return dict((await desk.see(partner, accepted.order_id)).json())

    await make_deposit(desk.engine, accepted, status="seen")
    await book_deposits(desk.engine, least={}, now=desk.now)
    seen = await stands()
    assert (seen["status"], seen["received"]["amount"]) == ("deposit_seen", "0.000000")
    assert [(one["status"], one["amount"]) for one in seen["deposits"]] == [("seen", "10.000000")]
    await desk.run("UPDATE deposits SET status = 'final'")
    await book_deposits(desk.engine, least={}, now=desk.now)
    funded = await stands()
    assert (funded["status"], funded["money_is_with"], funded["received"]["amount"]) == ("funded", "gateway", "10.000000")
    await dispatch(desk.engine, rails=desk.gateway.rails, clock=desk.gateway.clock)
    paid = await stands()
    assert (paid["status"], paid["rail"], paid["rail_receipt"]) == ("delivered", "calls", "SG632NMUAB")
    assert paid["id"] == document["id"]


async def test_amounts_are_exact_to_the_last_unit(desk: Desk, partner: Partner) -> None:
    document = await ordered(desk, partner, "exact")
    accepted = Accepted(order_id=document["id"], tracking_token="")
    await make_deposit(desk.engine, accepted, units=10_000_001)
    await make_deposit(desk.engine, accepted, units=1, asset=USDT)
    await book_deposits(desk.engine, least={}, now=desk.now)
    answer = (await desk.see(partner, accepted.order_id)).json()
    assert (answer["received"]["amount"], answer["unallocated"]["amount"]) == ("10.000000", "0.000001")
    assert [(one["asset"], one["amount"]) for one in answer["deposits"]] == [
        (USDC.symbol, "10.000001"),
        (USDT.symbol, "0.000001"),
    ]


async def test_another_partners_order_is_as_unknown_as_none(desk: Desk, partner: Partner, stranger: Partner) -> None:
    document = await ordered(desk, partner, "private")
    answers = [await desk.see(stranger, document["id"]), await desk.see(stranger, "ord_00000000000000000000000000")]
    for answer in answers:
        problem(answer, 404, "order_not_found")
    assert answers[0].text == answers[1].text
    problem(await desk.client.get(f"/v1/orders/{document['id']}"), 401, "invalid_token")


@pytest.mark.parametrize("order_id", ["x", "x" * 5000, "%00", "%ff", "'%20OR%201=1", "..%2f..", "{id}", "%F0%9F%90%98"])
async def test_an_odd_id_is_an_unknown_order(desk: Desk, partner: Partner, order_id: str) -> None:
    answer = await desk.see(partner, order_id)
    if order_id == "%00":
        problem(answer, 400, "malformed_request")
    else:
        assert problem(answer, 404, answer.json()["code"])["code"] in ("order_not_found", "not_found")


async def test_a_tracking_token_opens_no_order_of_the_api(desk: Desk, partner: Partner) -> None:
    document = await ordered(desk, partner, "tokened")
    problem(await desk.see(partner, document["tracking_url"].rpartition("/")[2]), 404, "order_not_found")


async def test_another_partners_quote_is_as_unknown_as_none(desk: Desk, partner: Partner, stranger: Partner) -> None:
    quote_id = await desk.quoted(partner)
    async with desk.nothing_written():
        answers = [
            await desk.order(stranger, "taken", one, recipient=RECIPIENT | changes)
            for one in (quote_id, "quo_nowhere")
            for changes in ({}, {"phone": "12"})
        ]
    for answer in answers:
        problem(answer, 404, "quote_not_found", "/quote_id")
    assert len({answer.text for answer in answers}) == 1


async def test_a_quote_made_on_the_form_is_nobodys_to_order_here(desk: Desk, partner: Partner) -> None:
    quote_id = await desk.quoted(partner)
    await desk.run("ALTER TABLE quotes DISABLE TRIGGER firm")
    await desk.run("UPDATE quotes SET partner_id = NULL WHERE id = :id", id=quote_id)
    await desk.run("ALTER TABLE quotes ENABLE TRIGGER firm")
    await refused(desk, partner, quote_id, 404, "quote_not_found", "/quote_id")


async def test_an_expired_quote_is_refused_to_the_microsecond(desk: Desk, partner: Partner) -> None:
    first, second = await desk.quoted(partner), await desk.quoted(partner)
    with desk.later(TTL):
        document = await refused(desk, partner, first, 409, "quote_expired", "/quote_id")
    assert document["detail"] == "This quote expired at 12:15:00 UTC. Ask for a new quote; the rate may differ."
    with desk.later(TTL - timedelta(microseconds=1)):
        assert (await desk.order(partner, "just in time", second)).status_code == 201


async def test_a_used_quote_is_refused_under_another_key(desk: Desk, partner: Partner) -> None:
    quote_id = await desk.quoted(partner)
    assert (await desk.order(partner, "first use", quote_id)).status_code == 201
    await refused(desk, partner, quote_id, 409, "quote_used", "/quote_id")


PHONES = {
    "too short": "0712",
    "American": "+1 212 555 0100",
    "Ugandan": "+256712345678",
    "landline": "020 2222222",
    "letters": "call me",
    "Arabic digits": "\u0660\u0667\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668",
    "extension": "0712345678 ext. 5",
    "two numbers": "0712345678, 0722345678",
    "line break": "0712345678\r\nX: y",
}


@pytest.mark.parametrize("phone", PHONES.values(), ids=PHONES.keys())
async def test_a_wrong_number_is_refused_and_not_repeated(desk: Desk, partner: Partner, phone: str) -> None:
    quote_id = await desk.quoted(partner)
    recipient = RECIPIENT | {"phone": phone}
    document = await refused(desk, partner, quote_id, 422, "bad_recipient", "/recipient/phone", recipient=recipient)
    assert document["detail"].endswith("Write it like +254 712 123456.")
    assert json.dumps(phone)[1:-1] not in json.dumps(document)


NAMES = {"only spaces": "   ", "digits": "12345", "control characters": "Wan\x07jiku", "too long": "W" * 101}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
async def test_a_wrong_name_is_refused(desk: Desk, partner: Partner, name: str) -> None:
    quote_id = await desk.quoted(partner)
    recipient = RECIPIENT | {"name": name}
    await refused(desk, partner, quote_id, 422, "bad_recipient", "/recipient/name", recipient=recipient)


RECIPIENTS: dict[str, tuple[Any, str, str]] = {
    "no number": ({"name": "Wanjiku"}, "bad_recipient", "/recipient/phone"),
    "an account": ({"name": "Wanjiku", "account": "123"}, "bad_recipient", "/recipient/phone"),
    "both": (RECIPIENT | {"account": "123"}, "bad_recipient", "/recipient/phone"),
    "no name": ({"phone": "0712345678"}, "invalid_fields", "/recipient/name"),
    "a number as number": (RECIPIENT | {"phone": 712345678}, "invalid_fields", "/recipient/phone"),
    "a list": ([RECIPIENT], "invalid_fields", "/recipient"),
}


@pytest.mark.parametrize(("recipient", "code", "field"), RECIPIENTS.values(), ids=RECIPIENTS.keys())
async def test_a_recipient_is_a_name_and_the_methods_account(
    desk: Desk, partner: Partner, recipient: Any, code: str, field: str
) -> None:
    await refused(desk, partner, await desk.quoted(partner), 422, code, field, recipient=recipient)


ASSIGNED: dict[str, Any] = {
    "status": "delivered",
    "state": "paid",
    "rate": "1000",
    "partner_id": "par_1",
    "id": "ord_1",
    "is_test": True,
    "deposit": {"address": OWN_ADDRESS},
    "tracking_token": "x",
    "fees": [],
    "__proto__": {},
}


@pytest.mark.parametrize("name", ASSIGNED)
async def test_what_is_ours_to_say_cannot_be_assigned(desk: Desk, partner: Partner, name: str) -> None:
    quote_id = await desk.quoted(partner)
    outer = {name: ASSIGNED[name]}
    inner = {"recipient": RECIPIENT | {name: ASSIGNED[name]}}
    async with desk.nothing_written():
        problem(await desk.order(partner, "own", quote_id, **outer), 422, "invalid_fields", f"/{name}")
        problem(await desk.order(partner, "own", quote_id, **inner), 422, "invalid_fields", f"/recipient/{name}")


METADATA: dict[str, tuple[Any, str]] = {
    "too many": ({str(number): "x" for number in range(21)}, "/metadata"),
    "long value": ({"a": "x" * 501}, "/metadata/a"),
    "long name": ({"n" * 41: "x"}, f"/metadata/{'n' * 41}"),
    "empty name": ({"": "x"}, "/metadata/"),
    "slash and tilde": ({"a/b~c": 1}, "/metadata/a~1b~0c"),
    "number": ({"a": 1}, "/metadata/a"),
    "null": ({"a": None}, "/metadata/a"),
    "nested": ({"a": {"b": "c"}}, "/metadata/a"),
    "list": ([], "/metadata"),
}


@pytest.mark.parametrize(("metadata", "field"), METADATA.values(), ids=METADATA.keys())
async def test_metadata_has_limits(desk: Desk, partner: Partner, metadata: Any, field: str) -> None:
    await refused(desk, partner, await desk.quoted(partner), 422, "invalid_fields", field, metadata=metadata)


async def test_metadata_of_the_largest_size_comes_back_as_sent(desk: Desk, partner: Partner) -> None:
    metadata = {f"{number:040}": "🐘" * 500 for number in range(5)} | {"<script>": "'; DROP TABLE orders --\r\n\x1b[31m"}
    document = await ordered(desk, partner, "full", metadata=metadata, reference="<b>" + "r" * 97)
    assert (document["metadata"], document["reference"]) == (metadata, "<b>" + "r" * 97)
    assert (await desk.see(partner, document["id"])).json() == document


@pytest.mark.parametrize("given", [OWN_ADDRESS, OWN_ADDRESS.lower(), "0x" + OWN_ADDRESS[2:].upper()])
async def test_a_refund_address_is_kept_with_its_checksum(desk: Desk, partner: Partner, given: str) -> None:
    document = await ordered(desk, partner, f"refund to {given}", refund_address=given)
    assert document["refund_address"] == OWN_ADDRESS


ADDRESSES = {
    "a digit wrong": OWN_ADDRESS[:-1] + "4",
    "a letter's case wrong": OWN_ADDRESS.replace("FbDB", "fbDB"),
    "too short": OWN_ADDRESS[:-1],
    "too long": OWN_ADDRESS + "0",
    "without 0x": OWN_ADDRESS[2:],
    "0X": "0X" + OWN_ADDRESS[2:].upper(),
    "zero": "0x" + "0" * 40,
    "a name": "wanjiku.eth",
    "Bitcoin": "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq",
    "another script's digits": "0x" + "\u0661" * 40,
    "empty": "",
    "number": 5,
}


@pytest.mark.parametrize("address", ADDRESSES.values(), ids=ADDRESSES.keys())
async def test_a_refund_address_with_an_error_is_refused(desk: Desk, partner: Partner, address: Any) -> None:
    quote_id = await desk.quoted(partner)
    await refused(desk, partner, quote_id, 422, "invalid_fields", "/refund_address", refund_address=address)


@pytest.mark.parametrize("reference", ["", "x" * 101, 7])
async def test_a_reference_has_limits(desk: Desk, partner: Partner, reference: Any) -> None:
    quote_id = await desk.quoted(partner)
    await refused(desk, partner, quote_id, 422, "invalid_fields", "/reference", reference=reference)


async def test_no_token_no_order_and_no_hint_what_else_is_wrong(desk: Desk) -> None:
    async with desk.nothing_written():
        answer = await desk.client.post("/v1/orders", json={"nonsense": True})
    problem(answer, 401, "invalid_token")
