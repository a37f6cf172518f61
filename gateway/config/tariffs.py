"""Settings of tariffs: what rails charge us, and what recipients pay to have cash in their hands."""

from __future__ import annotations

from gateway.config.group import Group


class Tariff(Group):
    """[[tariffs]]: what a payment by one rail or method costs, beside our own fee."""
