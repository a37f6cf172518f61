"""The one contract that every adapter keeps, as tests that run over real HTTP against the rail's simulator.

An adapter's room has a module `contract` with a subclass of `suite.OfframpContract` named `Contract`, known under entry
point group "lastmile.contracts". `lastmile adapter check NAME` and the tests run it. Needs pytest and pytest-asyncio.
"""
