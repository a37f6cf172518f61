"""Mobile money in some twenty African countries, by pawaPay's merchant API, version 2."""

from adapters.pawapay.adapter import PawaPay

__all__ = ["PawaPay"]
