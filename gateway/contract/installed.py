"""The test module that `lastmile adapter check` hands to pytest: the contract that LASTMILE_CONTRACT names, as one class."""

from __future__ import annotations

import os

import pytest

from gateway.contract.ground import rail
from gateway.contract.scorecard import CONTRACT_VARIABLE, contract_of

__all__ = ["rail"]

_reference = os.environ[CONTRACT_VARIABLE]
# Before it is imported, so that its assertions tell what they saw.
pytest.register_assert_rewrite(_reference.partition(":")[0])
TestContract = type("TestContract", (contract_of(_reference),), {})
