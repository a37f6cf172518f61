"""SEP-24: cash at the counters of an anchor of MoneyGram's shape, paid for with coins on Stellar."""

from adapters.sep24.adapter import Sep24

__all__ = ["Sep24"]
