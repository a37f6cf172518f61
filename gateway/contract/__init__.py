"""The one contract that every adapter keeps, as tests that run over real HTTP against the rail's simulator.

An adapter's room has a module `contract` with a subclass of `suite.OfframpContract` named `Contract`, known under entry
point group "lastmile.contracts". `lastmile adapter check NAME` and the tests run it. Needs pytest and pytest-asyncio.
How to write one: GUIDE.md in this folder.
"""

import contextlib

with contextlib.suppress(ImportError):  # the gateway itself does without pytest
    import pytest

    pytest.register_assert_rewrite(
        *(
            f"{__name__}.{each}"
            for each in ("ground", "suite", "requests", "pays", "faults", "course", "callbacks", "wire", "extras", "facts")
        )
    )
