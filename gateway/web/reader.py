"""Writing for one reader: their language, its direction, its way with numbers and dates.

Every sentence of the pages passes through here (templates by `_()`, sentences of other modules by `say`), so that a
translation has one place to step in.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import localcontext
from gettext import NullTranslations
from typing import Literal

import phonenumbers
from babel.core import Locale
from babel.dates import format_datetime, format_timedelta
from babel.numbers import format_decimal, get_decimal_symbol

from gateway.money import Money, Rate, decimal_of

FRACTION_LEAST = 2
"""Digits after the point that an amount shows at least, if its asset has them."""
RATE_DIGITS = 4
_SPANS: tuple[tuple[int | None, int, Literal["minute", "hour", "day"]], ...] = (
    (90 * 60, 60, "minute"),
    (36 * 3_600, 3_600, "hour"),
    (None, 86_400, "day"),
)
"""Up to how many seconds a time is said in which unit, and its seconds."""
_NEVER = 1_000_000
"""No number of a unit is said in the next one instead."""
DIGITS_MOST = 100
"""More than the 78 of a uint256, with room for a few after the point."""


class Reader:
    """Somebody who reads `language` (a BCP 47 tag)."""

    def __init__(self, language: str = "en-GB") -> None:
        self.locale = Locale.parse(language, sep="-")
        self.language = language
        self.direction = self.locale.text_direction
        self.translations = NullTranslations()

    def say(self, sentence: str) -> str:
        """A sentence that another module made, in the reader's language."""
        return self.translations.gettext(sentence)

    def money(self, money: Money) -> str:
        """An amount to read, with thousands set apart: "12,999.50 KES"."""
        return f"{self._grouped(self.plain(money))} {money.asset.symbol}"

    def plain(self, money: Money) -> str:
        """An amount to copy into a wallet: digits and a point only, exact, without idle zeros: "100.50"."""
        whole, point, fraction = money.decimal().partition(".")
        return f"{whole}{point}{fraction.rstrip('0').ljust(min(FRACTION_LEAST, money.asset.decimals), '0')}"

    def rate(self, rate: Rate) -> str:
        """What one whole of the base costs: "129.2000 KES"."""
        return f"{self._grouped(decimal_of(rate.whole(), digits=RATE_DIGITS))} {rate.quote.symbol}"

    def moment(self, at: datetime) -> str:
        """A point in time, in UTC until the page's script knows the reader's own zone."""
        return format_datetime(at.astimezone(UTC), "d MMM, HH:mm 'UTC'", locale=self.locale)

    def span(self, seconds: int) -> str:
        """A time to wait, rounded up to what one says: "2 minutes", "3 hours", "2 days"."""
        step_s, unit = next((step_s, unit) for most_s, step_s, unit in _SPANS if most_s is None or seconds <= most_s)
        whole = timedelta(seconds=-(-seconds // step_s) * step_s)
        return format_timedelta(whole, granularity=unit, threshold=_NEVER, locale=self.locale)

    def country(self, code: str) -> str:
        """A country's name; its code where the language has none."""
        return str(self.locale.territories.get(code, code))

    def chain(self, name: str) -> str:
        """A configured chain's name as a heading has it."""
        return name[:1].upper() + name[1:].replace("-", " ")

    def account(self, account: str) -> str:
        """A phone number in groups, so that it can be compared by eye; other accounts as they are."""
        if not account.startswith("+"):
            return account
        return phonenumbers.format_number(phonenumbers.parse(account), phonenumbers.PhoneNumberFormat.INTERNATIONAL)

    def mobile_example(self, country: str) -> str:
        """What a mobile number of `country` looks like."""
        number = phonenumbers.example_number_for_type(country, phonenumbers.PhoneNumberType.MOBILE)
        return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.INTERNATIONAL) if number else ""

    def _grouped(self, decimal: str) -> str:
        whole, point, fraction = decimal.partition(".")
        # The default of 28 digits makes the library fail on amounts that a token contract can very well send.
        with localcontext(prec=DIGITS_MOST):
            grouped = format_decimal(int(whole), locale=self.locale)
        return f"{grouped}{get_decimal_symbol(self.locale) if point else ''}{fraction}"
