"""A callback counts only with the anchor's fresh signature, at the address of its own transaction."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from stellar_sdk import Keypair

from gateway.offramp import CallbackRequest, ForgedCallback, Outcome

from .conftest import ADDRESS, ANCHOR, NOW, ORDER, SIGNING, make

BODY = json.dumps({"transaction": {**ORDER, "status": "completed"}}).encode()
TIME = int(NOW.timestamp())


def called(
    body: bytes = BODY,
    *,
    key: Keypair = SIGNING,
    time: int = TIME,
    host: str = "us.invalid",
    header: str = "signature",
    label: str = "change-tx-1",
) -> CallbackRequest:
    signature = base64.b64encode(key.sign(f"{time}.{host}.".encode() + body)).decode()
    headers = {header: f"t={time}, s={signature}", "content-type": "application/json"}
    return CallbackRequest(attempt_id="att_1", label=label, headers=headers, body=body, received_at=NOW)


@pytest.mark.parametrize("host", ["us.invalid", "us.invalid:8443"])
@pytest.mark.parametrize("header", ["signature", "x-stellar-signature"])
@pytest.mark.parametrize("time", [TIME - 120, TIME, TIME + 120])
def test_news_with_the_anchors_signature_make_us_ask_and_prove_nothing(host: str, header: str, time: int):
    read = make().read_callback(called(host=host, header=header, time=time))
    assert (read.attempt_id, read.proof, read.report.outcome) == ("att_1", False, Outcome.UNKNOWN)
    assert (read.report.provider_ref, read.report.reason) == ("tx-1", "told: completed")


@pytest.mark.parametrize(
    "changes",
    [
        {"key": ANCHOR},
        {"time": TIME - 121},
        {"time": TIME + 121},
        {"host": "other.invalid"},
        {"label": "change-tx-2"},
        {"label": "elsewhere"},
        {"header": "x-signature"},
        {"body": b"[]"},
        {"body": b'{"transaction":{"id":"tx-1"}}'},
        {"body": b'{"transaction":{"id":"../tx","status":"completed"}}'},
        {"body": b"\xff"},
    ],
)
def test_all_else_is_refused(changes: dict[str, Any]):
    with pytest.raises(ForgedCallback):
        make().read_callback(called(**changes))


@pytest.mark.parametrize(
    "header", ["", "t=1", "s=AAAA", "t=x, s=AAAA", f"t={TIME}, s={'A' * 86}==", f"t={TIME}, s=" + "A" * 9000]
)
def test_a_header_that_is_no_signature_is_refused(header: str):
    with pytest.raises(ForgedCallback):
        make().read_callback(replace(called(), headers={"signature": header}))


def test_the_signature_is_over_every_byte():
    whole = called()
    with pytest.raises(ForgedCallback):
        make().read_callback(replace(whole, body=whole.body + b" "))


def test_other_news_of_the_same_transaction_are_another_event():
    adapter = make()
    other = json.dumps({"transaction": {**ORDER, "status": "pending_anchor"}}).encode()
    first, again = (adapter.read_callback(called(time=TIME - age)) for age in (0, 9))
    assert first.event_id == again.event_id
    assert adapter.read_callback(called(other)).event_id != first.event_id
    assert ADDRESS not in repr(first)
