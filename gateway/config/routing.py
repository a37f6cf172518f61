"""Settings of routing: by which policy rails are chosen."""

from __future__ import annotations

from gateway.config.group import Group


class Routing(Group):
    """[routing]: how a rail is chosen among those that can pay."""
