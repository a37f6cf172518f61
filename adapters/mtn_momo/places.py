"""The countries that MTN MoMo serves: one target environment each, with its currency and its numbers.

Source of the names: momodeveloper.mtn.com, page common-error (NOT_ALLOWED_TARGET_ENVIRONMENT). MTN publishes no
limits: `least`, `most` and `step` are careful assumptions [?], and settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from gateway.money import Asset


class Target(NamedTuple):
    """A country's MoMo, or the sandbox. The amounts are decimals of `asset`."""

    country: str  # ISO 3166-1 alpha-2
    asset: Asset
    number: str
    """A MoMo account there, as a pattern: E.164."""
    least: str
    most: str
    step: str


# fmt: off
TARGETS: Mapping[str, Target] = {
    "mtnbenin":          Target("BJ", Asset("XOF", 0), r"\+229[0-9]{8}([0-9]{2})?", "100", "500000", "1"),
    "mtncameroon":       Target("CM", Asset("XAF", 0), r"\+237[0-9]{9}", "100", "500000", "1"),
    "mtncongo":          Target("CG", Asset("XAF", 0), r"\+242[0-9]{9}", "100", "500000", "1"),
    "mtnghana":          Target("GH", Asset("GHS", 2), r"\+233[0-9]{9}", "1.00", "5000.00", "0.01"),
    "mtnguineaconakry":  Target("GN", Asset("GNF", 0), r"\+224[0-9]{9}", "5000", "5000000", "1"),
    "mtnivorycoast":     Target("CI", Asset("XOF", 0), r"\+225[0-9]{10}", "100", "500000", "1"),
    "mtnliberia":        Target("LR", Asset("LRD", 2), r"\+231[0-9]{7,9}", "50.00", "100000.00", "1.00"),
    "mtnnigeria":        Target("NG", Asset("NGN", 2), r"\+234[0-9]{10}", "100.00", "100000.00", "1.00"),
    "mtnrwanda":         Target("RW", Asset("RWF", 0), r"\+250[0-9]{9}", "100", "1000000", "1"),
    "mtnsouthafrica":    Target("ZA", Asset("ZAR", 2), r"\+27[0-9]{9}", "10.00", "5000.00", "0.01"),
    "mtnsouthsudan":     Target("SS", Asset("SSP", 2), r"\+211[0-9]{9}", "100.00", "500000.00", "1.00"),
    "mtnswaziland":      Target("SZ", Asset("SZL", 2), r"\+268[0-9]{8}", "5.00", "5000.00", "1.00"),
    "mtnuganda":         Target("UG", Asset("UGX", 0), r"\+256[0-9]{9}", "500", "2000000", "1"),
    "mtnzambia":         Target("ZM", Asset("ZMW", 2), r"\+260[0-9]{9}", "5.00", "10000.00", "0.01"),
    # The sandbox pays euros only, and its numbers are Swedish.
    "sandbox":           Target("SE", Asset("EUR", 2), r"\+46[0-9]{9}", "1.00", "1000.00", "0.01"),
}
# fmt: on
