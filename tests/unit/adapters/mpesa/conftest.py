"""Settings that would work, had Daraja this key."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from adapters.mpesa.simulator.credentials import Credentials
from gateway.railsim import Codes, Desk, Options


@pytest.fixture(scope="session")
def credentials() -> Credentials:
    """What a simulator's first start makes, made once."""
    desk = Desk(
        options=Options(),
        floats=(),
        offers=frozenset(),
        codes=Codes("", ""),
        clock=lambda: datetime(2026, 11, 22, 12, tzinfo=UTC),
    )
    made = Credentials.of(desk)
    desk.shelf.close()
    return made


@pytest.fixture(scope="session")
def private_key(credentials: Credentials) -> RSAPrivateKey:
    return credentials.key()


@pytest.fixture
def settings(credentials: Credentials) -> dict[str, Any]:
    return {"base_url": "https://sandbox.invalid", **credentials.model_dump(exclude={"private_key"})}
