"""What a rail itself pays: the rate at which our payouts there are really made."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from fractions import Fraction

from gateway.offramp import OfframpError
from gateway.prices import TellsRates
from gateway.pricing.observations import Observation, is_fresh, is_plausible
from gateway.pricing.sources.port import SourceFault


class RailRates:
    """One rail's own rates: `RailRates(name="yc", adapter=adapter, currencies=("KES",), size=Fraction(100), max_age=...)`.

    `size`: about how many whole dollars or coins a payout takes. A rate that is old or absurd is left out; the others count.
    """

    def __init__(
        self, *, name: str, adapter: TellsRates, currencies: tuple[str, ...], size: Fraction, max_age: timedelta
    ) -> None:
        """Raises ValueError unless `size` is above zero."""
        if size <= 0:
            raise ValueError("the size of a payout must be above zero")
        self._name, self._adapter = name, adapter
        self._currencies, self._size, self._max_age = currencies, size, max_age

    @property
    def name(self) -> str:
        """The source's name in the configuration."""
        return self._name

    async def fetch(self, now: datetime) -> Sequence[Observation]:
        """The rail's rates of the wanted currencies. Raises `SourceFault` if not one of them can be used."""
        try:
            rates = await self._adapter.rates(self._currencies, size=self._size)
        except OfframpError as error:
            raise SourceFault(self._name, str(error)) from None
        found = [
            Observation(source=self._name, base=rate.base, quote=rate.quote, price=rate.price, as_of=rate.as_of)
            for rate in rates
            if rate.quote in self._currencies
            and is_plausible(rate.price)
            and is_fresh(rate.as_of, max_age=self._max_age, now=now)
        ]
        if not found:
            raise SourceFault(self._name, f"it tells no fresh, plausible rate of {', '.join(self._currencies)}")
        return found
