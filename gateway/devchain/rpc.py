"""JSON-RPC to the development node."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import httpx

from gateway.trust import tls_trust


class RpcRefused(Exception):
    """The node understood and answered with an error."""


class Rpc:
    """One kept connection to a node. A context manager.

    Raises `RpcRefused` for the node's errors and httpx's errors for those of the transport.
    """

    def __init__(self, url: str, *, timeout_s: float = 10) -> None:
        # Without the environment: a proxy meant for the internet is no way to this machine's own node.
        self._client = httpx.Client(base_url=url, timeout=timeout_s, trust_env=False, verify=tls_trust())

    def __call__(self, method: str, *params: object) -> Any:
        """The result of one call; quantities are hex strings, as the Ethereum JSON-RPC specification has them."""
        question = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = self._client.post("", json=question).raise_for_status().json()
        if "error" in answer:
            raise RpcRefused(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._client.close()
