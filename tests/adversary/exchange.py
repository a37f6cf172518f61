"""One question and its answer on their way through the proxy, and the rules that bend them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

Call = dict[str, Any]
"""A JSON-RPC request: method, params, id."""
Ask = Callable[[str, list[Any]], Awaitable[Any]]
"""Gives the result of a call, as an honest node would. Raises `RpcError`, or anything, for an error answer."""


class RpcError(Exception):
    """A JSON-RPC error answer."""

    def __init__(self, code: int, message: str, data: object = None) -> None:
        super().__init__(message)
        self.error = {"code": code, "message": message} | ({} if data is None else {"data": data})


@dataclass(kw_only=True)
class Wire:
    """How an answer goes over the wire."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    """Bytes in place of the JSON."""
    wait_s: float = 0
    """Before the first byte."""
    drip_s: float = 0
    """Between one byte of the body and the next."""
    cut_at: int | None = None
    """How many bytes of the body are sent before the end."""
    end: str = "keep"
    """keep the connection, close it, reset it, or half-close it and wait for ever."""
    length: int | None = None
    """Content-Length to state instead of the right one."""
    flood: int = 0
    """Bytes of digits to send within the body, in chunks."""


@dataclass(kw_only=True)
class Reply:
    """A whole JSON-RPC answer, `id` and all, and its wire."""

    answer: Any
    wire: Wire = field(default_factory=Wire)

    @property
    def result(self) -> Any:
        return self.answer.get("result")


Forward = Callable[[Call], Awaitable[Reply]]


@dataclass(kw_only=True)
class Rule:
    """One lie, told to every call of `method` (a pattern) that `skip`, `every` and `times` let through."""

    lie: str
    method: str = "*"
    arguments: dict[str, Any] = field(default_factory=dict)
    skip: int = 0
    every: int = 1
    times: int | None = None
    seen: int = 0
    told: int = 0
    memory: dict[str, Any] = field(default_factory=dict)

    def applies(self, method: str) -> bool:
        """Whether to lie to this call. Counts it."""
        if not any(fnmatchcase(method, pattern) for pattern in self.method.split("|")):
            return False
        self.seen += 1
        due = self.seen > self.skip and (self.seen - self.skip - 1) % self.every == 0
        if not due or (self.times is not None and self.told >= self.times):
            return False
        self.told += 1
        return True


Lie = Callable[[Forward, Rule, Call], Awaitable[Reply]]
