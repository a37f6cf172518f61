"""Column types that the tables share."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, DateTime, Numeric, Text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.types import TypeDecorator, UserDefinedType
from sqlmodel import Field


class Units(TypeDecorator[int]):
    """Smallest units of an asset as NUMERIC(78,0): holds every uint256 exactly, is a Python int on our side."""

    impl = Numeric(78, 0)
    cache_ok = True

    def process_result_value(self, value: Any, _dialect: Any) -> int | None:
        """Decimal as the driver gives it, to int."""
        return None if value is None else int(value)


class Posting(UserDefinedType[str]):
    """One posting, (source, destination, asset, units): the ledger's own composite type."""

    cache_ok = True

    def get_col_spec(self, **_options: Any) -> str:
        """The type's name in SQL."""
        return "posting"


def text(**options: Any) -> Any:
    """A TEXT column."""
    return Field(sa_type=Text, **options)


def units(**options: Any) -> Any:
    """A column of smallest units."""
    return Field(sa_type=Units, **options)


def postings(**options: Any) -> Any:
    """A column of postings."""
    return Field(sa_type=ARRAY(Posting), **options)


def bigint(**options: Any) -> Any:
    """A 64-bit integer; SQLModel's own int is 32 bits."""
    return Field(sa_type=BigInteger, **options)


def moment(**options: Any) -> Any:
    """A point in time, with time zone."""
    return Field(sa_type=DateTime(timezone=True), **options)


def document(**options: Any) -> Any:
    """A JSON document; replaced whole, never changed in place."""
    return Field(sa_type=JSONB, **options)
