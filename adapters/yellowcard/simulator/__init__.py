"""A simulator of Yellow Card's business API: signed requests, channels and networks, rate lock, acceptance, signed webhooks.

`app` makes the application; serve it with uvicorn. `/_sim/settings` shows the settings with which the adapter can use it,
`/_sim/faults` takes scripts, `/_sim/payouts` tells who was paid what, `/_sim/webhook` takes the address of the webhooks.
"""

from adapters.yellowcard.simulator.server import app

__all__ = ["app"]
