"""The base of every anticipated error: a small class beside its raiser, objects in, sentence and code out."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar


class Refusal(Exception):
    """We understood and won't do it. Nothing was written.

    `code` is stable and for programs ("quote_expired"); `str()` is one sentence for people that says what would be right.
    How a code becomes an HTTP status is one table in `gateway.api.problems`.
    """

    code: ClassVar[str] = "refused"
    field: str | None
    retry_after: timedelta | None = None
    """After how long the same request may be granted, where that is known."""

    def __init__(self, sentence: str, *, field: str | None = None) -> None:
        super().__init__(sentence)
        self.field = field
