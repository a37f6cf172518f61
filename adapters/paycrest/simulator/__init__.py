"""A simulator of Paycrest's sender API: orders with receive addresses, deposits, deliveries, refunds, signed webhooks.

`app` makes the application; serve it with uvicorn. Coins arrive by `POST /_sim/deposits`, or on a chain that it watches (see
`chain.Watched`). `/_sim/settings` shows the settings with which the adapter can use it, `/_sim/faults` takes scripts,
`/_sim/payouts` tells who was paid what, `/_sim/webhook` takes the address of the webhooks.
"""

from adapters.paycrest.simulator.server import app

__all__ = ["app"]
