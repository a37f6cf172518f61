"""The simulator is as strict as Stripe: keys, headers, fields, money."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import httpx
import pytest

from adapters.stripe_connect.simulator import app
from gateway.contract.harness import running
from gateway.railsim import Options

TRANSFER = {
    "amount": "1250",
    "currency": "usd",
    "destination": "acct_1Raw",
    "transfer_group": "att_raw",
    "metadata[lastmile_payee]": "ba_1Raw",
}


def post(
    world: Any, path: str, data: Mapping[str, str], *, key: str = "raw", headers: Mapping[str, str] | None = None
) -> httpx.Response:
    given = {
        "authorization": f"Bearer {world.rail.settings()['secret_key']}",
        "stripe-version": "2026-10-28.endive",
        "idempotency-key": key,
        "content-type": "application/x-www-form-urlencoded",
        **(headers or {}),
    }
    answer: httpx.Response = world.rail.client.post(path, data=dict(data), headers=given)
    return answer


def error(answer: httpx.Response) -> tuple[int, str, str | None]:
    told = answer.json()["error"]
    return answer.status_code, told["type"], told.get("code")


def test_one_key_is_done_once_and_answered_again_to_the_byte(world: Any) -> None:
    first, again = (post(world, "/v1/transfers", TRANSFER, key="once") for _ in range(2))
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json() == again.json()
    assert (first.headers.get("idempotent-replayed"), again.headers["idempotent-replayed"]) == (None, "true")


def test_a_stored_refusal_is_answered_again_and_a_wrong_field_is_not_stored(world: Any) -> None:
    payout = {"amount": "1250", "currency": "usd", "destination": "ba_1Raw", "metadata[lastmile_attempt]": "none"}
    there = {"stripe-account": "acct_1Empty"}
    answers = [post(world, "/v1/payouts", payout, key="stored", headers=there) for _ in range(2)]
    assert [error(each)[2] for each in answers] == ["balance_insufficient"] * 2
    assert answers[1].headers["idempotent-replayed"] == "true"
    wrong = post(world, "/v1/transfers", {**TRANSFER, "canary": "1"}, key="field")
    assert error(wrong) == (400, "invalid_request_error", "parameter_unknown")
    assert post(world, "/v1/transfers", TRANSFER, key="field").status_code == 200


def test_a_failure_is_stored_too_although_the_work_was_done(world: Any) -> None:
    world.rail.client.post("/_sim/faults", json={"scenarios": ["error_after_accept"]}).raise_for_status()
    answers = [post(world, "/v1/transfers", {**TRANSFER, "transfer_group": "att_500"}, key="failing") for _ in range(2)]
    assert [each.status_code for each in answers] == [500, 500]
    assert answers[0].headers["stripe-should-retry"] == "false"
    assert answers[1].headers["idempotent-replayed"] == "true"
    assert len(world.rail.payouts("att_500")) == 1


def test_another_request_under_a_key_is_refused_until_the_key_is_forgotten(world: Any) -> None:
    assert post(world, "/v1/transfers", TRANSFER, key="reused").status_code == 200
    other = {**TRANSFER, "amount": "1300"}
    assert error(post(world, "/v1/transfers", other, key="reused")) == (400, "idempotency_error", None)
    world.later = timedelta(hours=24, seconds=1)
    assert post(world, "/v1/transfers", other, key="reused").status_code == 200


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"authorization": "Bearer sk_test_wrong"}, 401),
        ({"stripe-version": ""}, 400),
        ({"idempotency-key": "k" * 256}, 400),
        ({"content-type": "application/json"}, 400),
    ],
)
def test_wrong_headers_are_refused(world: Any, changes: Mapping[str, str], status: int) -> None:
    assert post(world, "/v1/transfers", TRANSFER, key="headers", headers=changes).status_code == status


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("amount", "12.50"),
        ("amount", "0"),
        ("currency", "USD"),
        ("currency", "xxx"),
        ("canary", "1"),
        ("metadata[x]", "y" * 501),
    ],
)
def test_wrong_fields_are_refused(world: Any, field: str, value: str) -> None:
    assert post(world, "/v1/transfers", {**TRANSFER, field: value}, key=f"{field}{value[:9]}").status_code == 400


def test_a_missing_field_is_refused(world: Any) -> None:
    short = {key: value for key, value in TRANSFER.items() if key != "destination"}
    assert error(post(world, "/v1/transfers", short, key="short"))[2] == "parameter_missing"


def test_forints_are_paid_out_whole(world: Any) -> None:
    assert post(world, "/v1/transfers", {**TRANSFER, "currency": "huf", "amount": "150"}, key="huf").status_code == 400


def test_nothing_is_reversed_twice(world: Any) -> None:
    made = post(world, "/v1/transfers", {**TRANSFER, "transfer_group": "att_rev"}, key="rev").json()
    path = f"/v1/transfers/{made['id']}/reversals"
    assert post(world, path, {"amount": "1000"}, key="rev-1").status_code == 200
    assert error(post(world, path, {"amount": "300"}, key="rev-2"))[2] == "amount_too_large"
    assert post(world, path, {"amount": "250"}, key="rev-3").json()["amount"] == 250


def test_a_paid_payout_is_not_cancelled_and_a_path_that_is_none_is_not_found(world: Any) -> None:
    there = {"stripe-account": "acct_1Raw"}
    assert error(post(world, "/v1/payouts/po_none/cancel", {}, key="c", headers=there))[2] == "resource_missing"
    assert error(post(world, "/v1/nothing", {}, key="n"))[0] == 404
    assert error(post(world, "/v1/payouts", TRANSFER, key="no-account"))[0] == 403


def test_wrong_fields_of_v2_are_refused(v2: Any) -> None:
    settings = v2.rail.settings()
    good: dict[str, Any] = {
        "from": {"financial_account": settings["financial_account"], "currency": "usd"},
        "to": {"recipient": "acct_1Raw", "payout_method": "usba_1Raw"},
        "amount": {"value": 100, "currency": "usd"},
    }
    headers = {"authorization": f"Bearer {settings['secret_key']}", "stripe-version": "2026-10-28.endive"}
    wrong = [
        {**good, "canary": 1},
        {**good, "amount": {"value": "100", "currency": "usd"}},
        {**good, "amount": {"value": 100}},
        {**good, "to": 7},
        {**good, "from": {"financial_account": "fa_other", "currency": "usd"}},
        {**good, "from": {**good["from"], "currency": "eur"}},
        [],
    ]
    path = "/v2/money_management/outbound_payments"
    answers = [v2.rail.client.post(path, json=each, headers=headers).status_code for each in wrong]
    assert answers == [400] * len(wrong)
    assert (
        v2.rail.client.post(path, content=b"{", headers={**headers, "content-type": "application/json"}).status_code == 400
    )
    assert v2.rail.client.post(path, json=good, headers=headers).status_code == 200


def test_a_simulator_with_a_file_outlives_its_process(tmp_path: Any) -> None:
    options = Options(state=tmp_path / "stripe.sqlite", delay_s=0)
    with running(app(options)) as rail:
        first = rail.settings()
    with running(app(options)) as rail:
        again = rail.settings()
    kept = ("secret_key", "webhook_secrets")
    assert json.dumps([first[key] for key in kept]) == json.dumps([again[key] for key in kept])
