"""A simulator of Daraja: token, B2C v3, transaction status, account balance, with asynchronous unsigned callbacks.

`app` makes the application; serve it with uvicorn. `/_sim/settings` shows the settings with which the adapter can use it,
`/_sim/faults` takes scripts, `/_sim/payouts` tells who was paid what.
"""

from adapters.mpesa.simulator.server import app

__all__ = ["app"]
