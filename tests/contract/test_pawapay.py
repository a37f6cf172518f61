"""pawaPay keeps the contract."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("adapters.pawapay.contract")

from adapters.pawapay.contract import Contract  # noqa: E402
from gateway.contract.ground import rail  # noqa: E402

__all__ = ["rail"]


class TestPawaPay(Contract):
    """Everything that an adapter has to keep."""
