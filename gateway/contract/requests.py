"""The table of requests that an adapter may make: what arrives at the rail matches one row of it to the last byte."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

TRANSPORT: Mapping[str, str] = {
    "host": r"127\.0\.0\.1:[0-9]+|localhost:[0-9]+",
    "accept": r"\*/\*|application/json",
    "accept-encoding": r"[a-z, ]+",
    "connection": r"keep-alive",
    "user-agent": r"python-httpx/[0-9.]+",
    "content-length": r"[0-9]+",
}
"""What HTTP clients send by themselves. A row may say more about each, and all else that is sent has to stand in the row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """A row: one request as the provider documents it. Texts are regular expressions for the whole of what they describe."""

    name: str
    """What it is for, in a word or two."""
    method: str
    target: str
    """Path and query as sent."""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    """The rail's own headers, names in lower case, "content-type" among them. Each of them has to be there, no other may."""
    body: str = ""
    moves_money: bool = False
    """Whether it is this one that pays: exactly one such request is made in a payment's life."""


def callback_path(attempt_id: str, label: str) -> str:
    """Where a rail calls the suite's inbox about an attempt.

    Hexadecimal as the gateway's own addresses: Daraja refuses some words in URLs, and an id may happen to spell one.
    """
    return f"/{attempt_id.encode().hex()}/{label.encode().hex()}"


def callback_address(attempt_id: str, label: str) -> str:
    """The whole address, as a regular expression: the port is any."""
    return rf"http://127\.0\.0\.1:[0-9]+{callback_path(attempt_id, label)}"


def mismatch(row: Expected, request: Mapping[str, Any]) -> str | None:
    """What doesn't agree, in a sentence; None if every byte does."""
    return next(_disagreements(row, request), None)


def _disagreements(row: Expected, request: Mapping[str, Any]) -> Iterator[str]:
    headers = {name.lower(): value for name, value in request["headers"]}
    allowed = {**TRANSPORT, **row.headers}
    for part, right in (("method", row.method), ("target", row.target)):
        if not re.fullmatch(right, request[part]):
            yield f"{part} {request[part]!r}"
    if len(headers) != len(request["headers"]):
        yield "a header is there twice"
    if unlisted := headers.keys() - allowed.keys():
        yield f"headers {sorted(unlisted)} are not in the row"
    if missing := row.headers.keys() - headers.keys():
        yield f"headers {sorted(missing)} are missing"
    for name in sorted(headers.keys() & allowed.keys()):
        if not re.fullmatch(allowed[name], headers[name]):
            yield f"header {name}: {headers[name]!r}"
    if int(headers.get("content-length", 0)) != len(request["body"]):
        yield "content-length is not the body's"
    if not re.fullmatch(row.body, request["body"], re.DOTALL):
        yield f"body {request['body']!r}"


def sort_out(requests: Iterable[Mapping[str, Any]], rows: Sequence[Expected]) -> list[tuple[Expected, Mapping[str, Any]]]:
    """The row of every request. Raises AssertionError for a request that matches none, with what was nearly right."""
    return [(_row_of(each, rows), each) for each in requests]


def _row_of(request: Mapping[str, Any], rows: Sequence[Expected]) -> Expected:
    fitting = [row for row in rows if mismatch(row, request) is None]
    if fitting:
        return fitting[0]
    near = [
        row for row in rows if re.fullmatch(row.target, request["target"]) and re.fullmatch(row.method, request["method"])
    ]
    why = "; ".join(f"{row.name}: {mismatch(row, request)}" for row in near) or "no row has this method and target"
    raise AssertionError(f"{request['method']} {request['target']} is in no row of the table ({why})")
