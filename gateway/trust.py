"""Whom TLS believes."""

from __future__ import annotations

import ssl
from functools import cache

import httpx


@cache
def tls_trust(*, by_environment: bool = False) -> ssl.SSLContext:
    """The authorities that certifi lists, or those that SSL_CERT_FILE and SSL_CERT_DIR name if the environment has a say.

    Read once in a process: it takes 20 ms, longer than a whole payment.
    """
    return httpx.create_ssl_context(trust_env=by_environment)
