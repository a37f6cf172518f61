"""A simulator of an operator that speaks the GSMA Mobile Money API 1.2: tokens, disbursements, states, accounts, reversals.

With an X-Callback-URL it answers 202 and calls back by PUT; without one it pays while the client waits. It keeps the shipped
profile "sandbox".
"""

from adapters.gsma_mm.simulator.server import app

__all__ = ["app"]
