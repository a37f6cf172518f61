"""A simulator of Stripe: transfers and payouts of connected accounts (v1), and outbound payments (v2), each as one rail.

`app` makes the first, `outbound_app` the second; serve them with uvicorn. `/_sim/settings` shows the settings with which the
adapter can use it, `/_sim/faults` takes scripts, `/_sim/payouts` tells who was paid what.
"""

from adapters.stripe_connect.simulator.connect import app
from adapters.stripe_connect.simulator.outbound import outbound_app

__all__ = ["app", "outbound_app"]
