"""MTN MoMo, by the Disbursement API of MTN's Open API."""

from adapters.mtn_momo.adapter import MtnMomo

__all__ = ["MtnMomo"]
