"""What eth-account does to the process is undone."""

from __future__ import annotations

import subprocess
import sys

import pytest

IMPORTERS = ("gateway.chain.eth", "gateway.chain.provider", "gateway.chain.ownership")


@pytest.mark.parametrize("module", IMPORTERS)
def test_deeply_nested_json_stays_an_error_and_never_a_crash(module):
    uses = "import gateway.chain.ownership as o; o.signer_of('x', signature=bytes(65))" if "ownership" in module else ""
    code = f"import {module}, sys\n{uses}\nprint(sys.getrecursionlimit())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "1000\n"


def test_only_one_module_imports_it():
    code = "import gateway.main, gateway.chains, sys; print('eth_account' in sys.modules, 'web3' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"
