"""A simulator of an anchor (SEP-1, SEP-10, SEP-24, SEP-38, signed callbacks) and of a small Horizon, on one port.

`app` makes the application; serve it with uvicorn. `/_sim/settings` shows the settings with which the adapter can use it,
`/_sim/faults` takes scripts, `/_sim/payouts` tells who was paid what, `/_sim/collect` is the counter where cash is taken.
"""

from adapters.sep24.simulator.server import app

__all__ = ["app"]
