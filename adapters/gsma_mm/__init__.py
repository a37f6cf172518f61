"""Any operator that speaks the GSMA's harmonised Mobile Money API 1.2; what differs between operators is in a profile."""

from adapters.gsma_mm.adapter import GsmaMm

__all__ = ["GsmaMm"]
