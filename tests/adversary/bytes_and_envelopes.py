"""Lies around the `result`: ids, errors, HTTP statuses, bodies and the connection itself."""

from __future__ import annotations

import gzip
import json
from typing import Any

from tests.adversary.exchange import Call, Forward, Lie, Reply, Rule, Wire

GIGABYTE = 2**30
HTML = b"<!doctype html><html><head><title>Just a moment...</title></head><body>Checking your browser</body></html>"

ENVELOPES: dict[str, dict[str, Any]] = {
    "another id": {"id": 987_654_321},
    "an id as text": {"id": "1"},
    "an id of null": {"id": None},
    "an id as truth": {"id": True},
    "an id as list": {"id": [1]},
    "neither result nor error": {"result": ...},
    "no id": {"id": ...},
    "an error that is a text": {"error": "busy"},
    "an error that is a number": {"error": 7, "result": ...},
    "an error that is a list": {"error": [], "result": ...},
    "an error without code": {"error": {"message": "no"}, "result": ...},
    "an error with a code of text": {"error": {"code": "x", "message": ["no"]}, "result": ...},
    "an error beside the result": {"error": {"code": -32000, "message": "both"}},
    "a false error": {"error": False, "result": ...},
}
"""What is put into the answer; `...` takes the key out."""

BODIES: dict[str, bytes] = {
    "an empty body": b"",
    "HTML": HTML,
    "no JSON": b"{'jsonrpc': '2.0'}",
    "half of it": b'{"jsonrpc":"2.0","id":1,"resu',
    "a text": b'"busy"',
    "a number": b"429",
    "a list": b"[]",
    "a list with a null": b"[null]",
    "null": b"null",
    "NaN": b'{"jsonrpc":"2.0","id":$id,"result":NaN}',
    "Infinity": b'{"jsonrpc":"2.0","id":$id,"result":Infinity}',
    "a number of 5000 digits": b'{"jsonrpc":"2.0","id":$id,"result":' + b"9" * 5_000 + b"}",
    "a number as big as 1e400": b'{"jsonrpc":"2.0","id":$id,"result":1e400}',
    "a deep nest": b'{"jsonrpc":"2.0","id":$id,"result":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a deep nest of objects": b'{"jsonrpc":"2.0","id":$id,"result":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}",
    "no UTF-8": b'{"jsonrpc":"2.0","id":$id,"result":"\xff\xfe"}',
    "half a surrogate": b'{"jsonrpc":"2.0","id":$id,"result":"\\ud800"}',
    "a NUL": b'{"jsonrpc":"2.0","id":$id,"result":"0x\\u00001"}',
    "a key twice": b'{"jsonrpc":"2.0","id":$id,"result":[],"id":$id,"result":{}}',
    "two objects": b'{"jsonrpc":"2.0","id":$id,"result":[]}{"jsonrpc":"2.0","id":$id,"result":[]}',
    "a byte order mark": b'\xef\xbb\xbf{"jsonrpc":"2.0","id":$id,"result":[]}',
}
"""Whole bodies, where $id stands for the call's id."""

STATUSES: dict[str, dict[str, Any]] = {
    **{f"status {status}": {"status": status} for status in (204, 400, 401, 403, 404, 408, 413, 500, 502, 503, 504, 520)},
    "status 429": {"status": 429, "headers": {"Retry-After": "1"}},
    "status 429 for a year": {"status": 429, "headers": {"Retry-After": "31536000"}},
    "status 429 with a date": {"status": 429, "headers": {"Retry-After": "Wed, 21 Oct 2099 07:28:00 GMT"}},
    "status 429 with nonsense": {"status": 429, "headers": {"Retry-After": "-1e99"}},
    "a redirection": {"status": 302, "headers": {"Location": "/elsewhere"}},
    "a redirection to a file": {"status": 302, "headers": {"Location": "file:///etc/passwd"}},
}

CONNECTIONS: dict[str, dict[str, Any]] = {
    "cut before the body": {"cut_at": 0, "end": "close"},
    "cut at the first byte": {"cut_at": 1, "end": "close"},
    "cut in the middle": {"cut_at": 25, "end": "reset"},
    "reset": {"cut_at": 0, "end": "reset"},
    "a length too long": {"length": 10_000, "end": "close"},
    "a length too short": {"length": 10, "end": "close"},
    "half-closed": {"cut_at": 5, "end": "half"},
    "a stall": {"wait_s": 3_600},
    "a stall in the body": {"cut_at": 9, "end": "stall"},
    "a drip": {"drip_s": 5},
    "a gigabyte": {"flood": GIGABYTE},
}

SLOW = {"half-closed", "a stall", "a stall in the body", "a drip"}
"""Those that end only when the asking side's patience does."""


async def envelope(forward: Forward, rule: Rule, call: Call) -> Reply:
    """Put `fields` into the answer; `...` takes one out."""
    reply = await forward(call)
    whole = reply.answer | rule.arguments["fields"]
    reply.answer = {key: value for key, value in whole.items() if value is not ...}
    return reply


async def error(_forward: Forward, rule: Rule, call: Call) -> Reply:
    """An error answer: `code`, `message`, `data`; HTTP `status`."""
    return Reply(
        answer={
            "jsonrpc": "2.0",
            "id": call.get("id"),
            "error": {key: rule.arguments[key] for key in ("code", "message", "data") if key in rule.arguments},
        },
        wire=Wire(status=rule.arguments.get("status", 200)),
    )


async def body(forward: Forward, rule: Rule, call: Call) -> Reply:
    """Whole other bytes: `text`, where $id stands for the call's id."""
    reply = await forward(call)
    text = rule.arguments["text"]
    raw = text.encode() if isinstance(text, str) else text
    reply.wire.body = raw.replace(b"$id", json.dumps(call.get("id")).encode())
    return reply


async def bomb(forward: Forward, rule: Rule, call: Call) -> Reply:
    """A few kilobytes that inflate to `size` bytes."""
    reply = await forward(call)
    size = rule.arguments.get("size", 2**28)
    text = b'{"jsonrpc":"2.0","id":%d,"result":"' % call["id"] + b"0" * size + b'"}'
    reply.wire.body = gzip.compress(text, compresslevel=1)
    reply.wire.headers["Content-Encoding"] = "gzip"
    return reply


async def wire(forward: Forward, rule: Rule, call: Call) -> Reply:
    """Anything a connection can do: the arguments are fields of `Wire`. The call reaches the node."""
    reply = await forward(call)
    reply.wire = Wire(body=reply.wire.body, **rule.arguments)
    return reply


LIES: dict[str, Lie] = {"envelope": envelope, "error": error, "body": body, "bomb": bomb, "wire": wire}
