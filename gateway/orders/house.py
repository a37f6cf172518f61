"""The house's own orders: payments to our own accounts at rails, made as anybody's are, and by nobody's choice of a rail."""

from __future__ import annotations

HOUSE = "house"
"""Id of the partner whose orders they are. It is disabled and has no client: nothing that comes from outside makes one."""
HOUSE_LANE = "-/-/-/house"
"""Their lane, kept by the database. Dispatch places nothing of it: gateway.treasury sends them by the rail that is named."""
