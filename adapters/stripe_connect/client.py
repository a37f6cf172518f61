"""Stripe's official client, over our own connections: nothing is resent by it, nothing global is set for others.

The client's retries are off: what is sent again is the core's decision. Its connections are railkit's, which know whether a
byte has left; its own would follow proxies from the environment and tell nothing of that.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Mapping
from typing import Any, NamedTuple

import stripe

from adapters.stripe_connect import codes
from adapters.stripe_connect.settings import StripeSettings
from gateway.offramp import NotSent, OfframpError, Report
from gateway.railkit.evidence import clean
from gateway.railkit.http import NoAnswer, RailHttp
from gateway.railkit.meanings import Kind, Meaning, report_of

# The client logs whole requests, with recipients' accounts, and reports our machine to Stripe, by switches that it has
# only for the whole process. It is imported nowhere else.
logging.getLogger("stripe").setLevel(logging.WARNING)
stripe.enable_telemetry = False

MALFORMED = (AttributeError, KeyError, TypeError, ValueError, RecursionError)
"""What the client stumbles over in answers that aren't Stripe's."""
PAGE = 100
"""Objects per page: Stripe's most."""
LIST_MOST = 10_000
"""A list that is longer than this is none that we asked for."""


class Answered(NamedTuple):
    """An object that Stripe answered with; `replayed` if it is what it answered to an earlier request with this key."""

    values: dict[str, Any]
    replayed: bool


class Declined(OfframpError):
    """Stripe answered with an error. `means` says whether the request may have done something all the same."""

    def __init__(self, error: stripe.StripeError) -> None:
        told = error.json_body.get("error") if isinstance(error.json_body, dict) else None
        told = told if isinstance(told, dict) else {}
        code, kind = _word(told.get("code")), _word(told.get("type"))
        self.status = error.http_status if isinstance(error.http_status, int) else None
        self.code = code or kind
        self.means: Meaning = codes.of_error(status=self.status, kind=kind, code=code)
        # Stripe's own words may name the account.
        self.reason = f"HTTP {self.status} {self.code or 'without a code'}: {self.means.text}"
        headers = {name.lower(): value for name, value in dict(error.headers or {}).items()}
        seen = {
            "http_status": self.status,
            "error_type": kind,
            "error_code": code,
            "request_id": headers.get("request-id"),
            "stripe_should_retry": headers.get("stripe-should-retry"),
            "idempotent_replayed": headers.get("idempotent-replayed"),
        }
        self.evidence = {key: clean(value) for key, value in seen.items() if value is not None}
        super().__init__(self.reason)

    @property
    def is_final(self) -> bool:
        """Whether the refusal was stored under the key, so that the request will never be done under it.

        Not where Stripe itself says that the request should be sent again.
        """
        again = self.evidence.get("stripe_should_retry") == "true"
        return self.means.kind is Kind.NOT_PROCESSED and self.status not in codes.HTTP and not again

    def report(self) -> Report:
        """The same as a report: no news of the payment."""
        return report_of(self.means, reason=self.reason, evidence=self.evidence)


class Stripe:
    """One Stripe account. Secrets stay inside: they are in no repr, no exception and no log line."""

    def __init__(self, settings: StripeSettings) -> None:
        self._http = RailHttp(base_url="", answer_within_s=settings.answer_within_s, provider="Stripe")
        client = stripe.StripeClient(
            settings.secret_key.get_secret_value(),
            base_addresses={"api": settings.base_url},
            http_client=_Connections(self._http),
            max_network_retries=0,
        )
        self.v1 = client.v1
        self.v2 = client.v2

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def call(self, request: Awaitable[Any]) -> Answered:
        """One request. Raises `Declined`, `NotSent` if no byte has left, and `NoAnswer` for one that may have arrived."""
        try:
            response = (await request).last_response
            values, headers = response.data, response.headers
        except stripe.StripeError as error:
            raise Declined(error) from None
        except MALFORMED as error:
            raise NoAnswer(f"an unreadable answer from Stripe ({type(error).__name__})") from None
        if not isinstance(values, dict):
            raise NoAnswer("an answer from Stripe that is no object")
        return Answered(values, headers.get("idempotent-replayed") == "true")

    async def all(self, request: Awaitable[Any]) -> AsyncIterator[dict[str, Any]]:
        """Every object of a list, however many pages that takes. Raises as `call` does."""
        try:
            page = await request
            read = 0
            async for each in page.auto_paging_iter():
                read += 1
                if read > LIST_MOST:
                    raise NoAnswer(f"a list from Stripe with more than {LIST_MOST} objects")
                yield each.to_dict()
        except stripe.StripeError as error:
            raise Declined(error) from None
        except MALFORMED as error:
            raise NoAnswer(f"an unreadable list from Stripe ({type(error).__name__})") from None


class _Connections(stripe.HTTPClient):
    """What the client sends by: railkit's connections."""

    name = "httpx"

    def __init__(self, http: RailHttp) -> None:
        super().__init__()
        self._http = http

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """One request, never repeated. Raises `NotSent` and `NoAnswer`, which the client lets through."""
        content = None if post_data is None else str(post_data).encode()
        answer = await self._http.call(method.upper(), url, headers=dict(headers), content=content)
        return answer.body, answer.status, answer.headers


def _word(value: object) -> str | None:
    return clean(value) if isinstance(value, str) and value else None


__all__ = ["PAGE", "Answered", "Declined", "NoAnswer", "NotSent", "Stripe"]
