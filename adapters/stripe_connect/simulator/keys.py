"""Idempotency keys: what was answered under a key is answered again, for a day."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from adapters.stripe_connect.simulator.errors import IN_USE, OTHER_REQUEST, Refused
from gateway.railsim import Desk

LIFE = timedelta(hours=24)
Store = Callable[[int, Mapping[str, Any]], None]
"""Keeps status and body under the request's key. Called when the work is done, whatever becomes of the answer."""


class Keys:
    """The keys of one account, on the desk's shelf."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._under_way: set[str] = set()

    async def once(self, request: Request, work: Callable[[Store], Awaitable[Response]]) -> Response:
        """Do the work, unless it was done under this key. v1 stores what failed as well, v2 does it again."""
        key = request.headers.get("idempotency-key")
        if key is None:
            return await work(lambda _status, _document: None)
        place = f"{request.headers.get('stripe-account', '')}:{key}"
        print_ = hashlib.sha256(request.url.path.encode() + b"\0" + await request.body()).hexdigest()
        kept = self._desk.shelf.get("key", place)
        if kept is not None and datetime.fromisoformat(kept["at"]) + LIFE > self._desk.clock():
            if kept["print"] != print_:
                raise Refused(*OTHER_REQUEST)
            headers = {"idempotent-replayed": "true", "original-request": kept["request"]}
            return JSONResponse(json.loads(kept["body"]), status_code=kept["status"], headers=headers)
        if place in self._under_way:
            raise Refused(*IN_USE, retry=True)
        self._under_way.add(place)

        def store(status: int, document: Mapping[str, Any]) -> None:
            about = {"print": print_, "request": f"req_{print_[:14]}", "at": self._desk.clock().isoformat()}
            self._desk.shelf.put(("key", place, {**about, "status": status, "body": json.dumps(document)}))

        try:
            return await work(store)
        except Refused as refused:
            if refused.stored and request.url.path.startswith("/v1/"):
                store(refused.status, refused.document())
            raise
        finally:
            self._under_way.discard(place)
