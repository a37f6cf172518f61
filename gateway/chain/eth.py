"""eth-account, for all who sign or recover. Takes half a second to import: import this module late.

py_ecc, which it brings along, raises Python's recursion limit to 100,000. Under that limit a deeply nested JSON text, in an
answer or in a request to our API, overflows the C stack and kills the process instead of raising RecursionError.
"""

from __future__ import annotations

import sys

from eth_account import Account
from eth_account.messages import encode_defunct

__all__ = ["Account", "encode_defunct"]

sys.setrecursionlimit(1_000)
