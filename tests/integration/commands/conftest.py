from __future__ import annotations

import pytest

from adapters.mpesa.simulator.credentials import Credentials
from gateway.railsim import Codes, Desk, Options
from tests.factories import NOW


@pytest.fixture(scope="session")
def adapter() -> dict[str, str]:
    """Environment of an [adapters.mpesa] that would work, had Daraja this key. Made once: its RSA keys take a while."""
    desk = Desk(options=Options(), floats=(), offers=frozenset(), codes=Codes("", ""), clock=lambda: NOW)
    made = Credentials.of(desk)
    desk.shelf.close()
    return {f"ADAPTERS__MPESA__{name.upper()}": value for name, value in made.model_dump(exclude={"private_key"}).items()}
