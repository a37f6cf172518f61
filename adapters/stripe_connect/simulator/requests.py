"""Reading requests as strictly as Stripe does: forms with brackets at v1, JSON at v2, the headers of both."""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from fastapi import Request

from adapters.stripe_connect.simulator.errors import UNAUTHORIZED, Refused, invalid

VERSION = re.compile(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}\.[a-z]+")
INTEGERS = frozenset({"amount", "limit"})
TIMES = frozenset({"created[gte]", "created[lt]"})
"""Seconds at v1; v2 writes its times by RFC 3339."""
LIST = {"limit": False, "starting_after": False}
"""Fields of every list of v1. True: it has to be there."""
KEY_MOST, METADATA_MOST, VALUE_MOST = 255, 50, 500


def check_headers(request: Request, *, key: str) -> None:
    """Bearer key, version, and the content type of the API that is called."""
    if not hmac.compare_digest(request.headers.get("authorization", "").encode(), f"Bearer {key}".encode()):
        raise Refused(*UNAUTHORIZED)
    if not VERSION.fullmatch(request.headers.get("stripe-version", "")):
        raise invalid("parameter_invalid_string_empty", param="Stripe-Version")
    if len(request.headers.get("idempotency-key", "")) > KEY_MOST:
        raise invalid("parameter_invalid_string_empty", param="Idempotency-Key")
    if request.method == "POST":
        right = "application/json" if request.url.path.startswith("/v2/") else "application/x-www-form-urlencoded"
        if request.headers.get("content-type") != right:
            raise invalid("parameter_unknown", param="Content-Type")


def account_of(request: Request) -> str:
    """The connected account that a request of v1 is made for."""
    account = request.headers.get("stripe-account", "")
    if not re.fullmatch(r"acct_[A-Za-z0-9]+", account) or "gone" in account:
        raise Refused(403, "invalid_request_error", "account_invalid")
    return account


async def form(request: Request, fields: Mapping[str, bool]) -> dict[str, Any]:
    """The fields of a form; metadata as a dictionary of its own."""
    return _fields((await request.body()).decode("latin-1"), fields, integers=INTEGERS)


def query(request: Request, fields: Mapping[str, bool]) -> dict[str, Any]:
    """The fields of a query."""
    is_v2 = request.url.path.startswith("/v2/")
    return _fields(request.url.query, fields, integers=INTEGERS if is_v2 else INTEGERS | TIMES)


async def document(request: Request) -> dict[str, Any]:
    """The JSON object of v2."""
    try:
        read = json.loads(await request.body())
    except ValueError:
        raise invalid("parameter_invalid_string_empty") from None
    if not isinstance(read, dict):
        raise invalid("parameter_invalid_string_empty")
    return read


def shaped(given: Any, shape: Mapping[str, Any], *, where: str = "") -> dict[str, Any]:
    """Check a JSON object field by field: a type, or a shape of its own; a name that ends with "?" may be missing."""
    if not isinstance(given, dict):
        raise invalid("parameter_missing", param=where)
    names = {name.rstrip("?"): (name.endswith("?"), right) for name, right in shape.items()}
    if unknown := given.keys() - names.keys():
        raise invalid("parameter_unknown", param=f"{where}{min(unknown)}")
    for name, (optional, right) in names.items():
        if name not in given:
            if not optional:
                raise invalid("parameter_missing", param=where + name)
        elif isinstance(right, dict):
            shaped(given[name], right, where=f"{where}{name}.")
        elif type(given[name]) is not right:
            raise invalid("parameter_unknown", param=where + name)
    return given


def _fields(text: str, fields: Mapping[str, bool], *, integers: frozenset[str]) -> dict[str, Any]:
    read: dict[str, Any] = {}
    for name, value in parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text)):
        group, _, inner = name.partition("[")
        if group == "metadata":
            read.setdefault("metadata", {})[inner.rstrip("]")] = value
            continue
        if name not in fields:
            raise invalid("parameter_unknown", param=name)
        if name in integers and not value.isdigit():
            raise invalid("parameter_invalid_integer", param=name)
        read[name] = int(value) if name in integers else value
    if absent := [name for name, needed in fields.items() if needed and name not in read]:
        raise invalid("parameter_missing", param=absent[0])
    metadata = read.get("metadata", {})
    if len(metadata) > METADATA_MOST or any(len(each) > VALUE_MOST for each in metadata.values()):
        raise invalid("parameter_unknown", param="metadata")
    return read
