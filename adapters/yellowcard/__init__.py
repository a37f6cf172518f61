"""Yellow Card: bank and mobile-money payouts in some twenty African countries, at a locked rate."""

from adapters.yellowcard.adapter import YellowCard

__all__ = ["YellowCard"]
