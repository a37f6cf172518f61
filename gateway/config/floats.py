"""Settings of floats: when one is low, and how it is filled."""

from __future__ import annotations

from gateway.config.group import Group


class Floats(Group):
    """[floats]: what we keep at rails."""
