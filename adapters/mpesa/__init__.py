"""Safaricom M-PESA in Kenya, by Daraja B2C v3."""

from adapters.mpesa.adapter import Mpesa

__all__ = ["Mpesa"]
