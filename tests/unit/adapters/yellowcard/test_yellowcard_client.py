"""Requests and webhooks are signed as documented."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta, timezone

from adapters.yellowcard.client import signature, timestamp, webhook_signature

AT = "2026-10-04T01:02:03.000Z"


def digest(message: bytes) -> str:
    return base64.b64encode(hmac.new(b"secret", message, hashlib.sha256).digest()).decode()


def test_a_moment_is_written_in_utc_with_milliseconds() -> None:
    there = timezone(timedelta(hours=3))
    assert timestamp(datetime(2026, 10, 4, 4, 2, 3, tzinfo=there)) == AT
    assert timestamp(datetime(2026, 10, 4, 1, 2, 3, 4567, tzinfo=UTC)) == "2026-10-04T01:02:03.004Z"


def test_a_question_is_signed_over_time_path_and_method() -> None:
    signed = signature(secret="secret", at=AT, path="/business/channels", method="GET", body=b"")
    assert signed == digest(b"2026-10-04T01:02:03.000Z/business/channelsGET")


def test_a_body_is_signed_by_its_digest_in_base64() -> None:
    body = b'{"accountNumber":"1111111111","networkId":"bank"}'
    hashed = base64.b64encode(hashlib.sha256(body).digest())
    signed = signature(secret="secret", at=AT, path="/business/details/bank", method="POST", body=body)
    assert signed == digest(b"2026-10-04T01:02:03.000Z/business/details/bankPOST" + hashed)


def test_a_webhook_is_signed_over_its_raw_body() -> None:
    assert webhook_signature(secret="secret", body=b'{"id": 1}') == digest(b'{"id": 1}')
