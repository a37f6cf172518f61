"""One guarded GET: a whole answer of the right kind within a time and a size, or a sentence why not."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta

import httpx

from gateway.pricing.sources.port import SourceFault
from gateway.trust import tls_trust

BODY_MOST = 1_000_000
"""Longest answer or file that is read, in bytes; every currency of the world takes some 4,000."""

# A proxy for the internet can't reach this machine's simulator.
_NOT_THROUGH_A_PROXY = {"all://127.0.0.1": None, "all://localhost": None}


class Site:
    """Where a source's answers come from. Redirects aren't followed: a header of ours may be a secret."""

    def __init__(
        self,
        *,
        source: str,
        base_url: str,
        types: tuple[str, ...],
        timeout: timedelta,
        headers: Mapping[str, str] | None = None,
        sentences: Mapping[int, str] | None = None,
    ) -> None:
        """`types`: media types it may answer with; `timeout`: for the whole answer; `sentences`: what a status means."""
        self._source, self._base_url, self._types = source, base_url, types
        self._seconds = timeout.total_seconds()
        # Uncompressed, so that the limit counts what we hold in memory.
        self._headers = {**(headers or {}), "Accept-Encoding": "identity"}
        self._sentences = sentences or {}
        self._tls = tls_trust(by_environment=True)

    async def get(self, path: str, params: Mapping[str, str] | None = None) -> bytes:
        """The body of an answer 200. Raises `SourceFault`."""
        try:
            async with asyncio.timeout(self._seconds):
                return await self._get(path, params)
        except TimeoutError:
            raise SourceFault(self._source, f"no whole answer within {self._seconds:g} seconds") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise SourceFault(self._source, f"no answer from {self._base_url}: {type(error).__name__}") from None

    async def _get(self, path: str, params: Mapping[str, str] | None) -> bytes:
        async with (
            httpx.AsyncClient(
                base_url=self._base_url,
                headers=self._headers,
                timeout=self._seconds,
                verify=self._tls,
                mounts=_NOT_THROUGH_A_PROXY,
            ) as client,
            client.stream("GET", path, params=params) as response,
        ):
            self._check(response)
            body = b""
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > BODY_MOST:
                    raise SourceFault(self._source, f"the answer is longer than {BODY_MOST} bytes")
            return body

    def _check(self, response: httpx.Response) -> None:
        status = response.status_code
        if status != httpx.codes.OK:
            raise SourceFault(self._source, self._sentences.get(status, f"answered with HTTP status {status}"))
        kind = response.headers.get("Content-Type", "").split(";")[0].strip().lower()
        # A server that doesn't name the kind is judged by the body alone.
        if kind and kind not in self._types:
            raise SourceFault(self._source, f"answered with {kind[:60]!r}, not with {' or '.join(self._types)}")
