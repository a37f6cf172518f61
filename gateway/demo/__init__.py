"""The demo: one remittance from a wallet to M-Pesa with every part real, on this machine alone.

It starts a database, a development chain with a real USDC contract, simulators of M-Pesa and of a rate source, and the
gateway as an operator would run it: as processes of their own, from a settings file that one can read.
"""

from gateway.demo.run import pay_order, run_demo

__all__ = ["pay_order", "run_demo"]
