"""A simulator of MTN MoMo: provisioning, tokens, transfers, account holders, balance, with unsigned callbacks.

`app` makes the application; serve it with uvicorn. `/_sim/settings` shows the settings with which the adapter can use it,
`/_sim/faults` takes scripts, `/_sim/payouts` tells who was paid what.
"""

from adapters.mtn_momo.simulator.server import app

__all__ = ["app"]
