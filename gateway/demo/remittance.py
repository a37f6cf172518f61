"""One remittance through the public API, as a partner's program would make it. Killed half way, it goes on where it was."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from gateway.clock import system_clock
from gateway.demo.parts import Progress
from gateway.demo.world import World
from gateway.devchain import stablecoin
from gateway.devchain.rpc import Rpc
from gateway.errors import Refusal

SEND = "10.00"
RECIPIENT = {"name": "Wanjiku Kamau", "phone": "+254712345678"}
WALLET = "mpesa"
"""The recipient's, where there are several."""
FINAL = frozenset({"delivered", "confirmed", "refunded", "expired", "cancelled"})
STUCK = frozenset({"needs_info", "on_hold", "returned"})
WITHIN_S = 180.0
POLL_S = 0.1
UNFINISHED = ("awaiting_deposit", "deposit_seen", "funded", "in_transit", "investigating")


class NotDelivered(Refusal):
    """The remittance came to another end, or to none in time."""

    code = "not_delivered"


def remit(world: World, *, started: float, progress: Progress) -> dict[str, Any]:
    """Quote, order, deposit, wait. Returns what `--once` prints. Raises `NotDelivered`."""
    notes = _Notes(world.folder / "once.json")
    with httpx.Client(base_url=world.url, timeout=30) as client:
        api = _Api(client, credentials=_credentials(world))
        order = _resumed(api, notes) or _ordered(api, notes)
        seconds = {"ready": round(api.since - started, 2)}
        progress(f"order {order['id']}: {order['send']['amount']} USDC to {order['deposit']['address']}")
        tx_hash = _deposit(world, order, notes)
        progress(f"deposit sent: {tx_hash}")
        order = _watch(api, order, progress=progress)
    if order["status"] != "delivered":
        raise NotDelivered(f"The order ended {order['status']}: {order['message']} {order['next_step']}")
    quote = notes.get("quote")
    result = {
        "order_id": order["id"],
        "status": order["status"],
        "deposit_tx_hash": order["deposits"][0]["tx_hash"],
        "amounts": {"send": order["send"], "received": order["received"], "receive": order["receive"]},
        "rate": quote["rate"],
        "fees": quote["fees"],
        "total_cost_percent": quote["total_cost_percent"],
        "rail": {"name": order["rail"], "receipt": order["rail_receipt"]},
        "ledger": asyncio.run(_ledger(world.postgres.url)),
        "seconds": {**seconds, **_stages(world.postgres.url, order["id"]), "total": round(time.monotonic() - started, 2)},
        "tracking_url": order["tracking_url"],
    }
    notes.clear()
    return result


class _Notes:
    """What a killed run had done, on disk before the next step."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}

    def get(self, key: str) -> Any:
        return self._known.get(key)

    def put(self, **values: Any) -> None:
        self._known |= values
        draft = self._path.with_suffix(".new")
        draft.write_text(json.dumps(self._known))
        draft.replace(self._path)

    def clear(self) -> None:
        self._known = {}
        self._path.unlink(missing_ok=True)


class _Api:
    """The partner's side. A gateway that is being restarted is waited for."""

    def __init__(self, client: httpx.Client, *, credentials: dict[str, str]) -> None:
        self._client = client
        self._credentials = credentials
        self.since = time.monotonic()
        self._token = self._new_token()

    def call(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._token}", **request.pop("headers", {})}
        response = self._patiently(lambda: self._client.request(method, path, headers=headers, **request))
        document: dict[str, Any] = response.json()
        if response.is_error:
            raise NotDelivered(f"{method} {path} was refused: {document.get('detail', response.text)}")
        return document

    def _new_token(self) -> str:
        form = {"grant_type": "client_credentials", **self._credentials}
        response = self._patiently(lambda: self._client.post("/oauth/token", data=form))
        return str(response.raise_for_status().json()["access_token"])

    def _patiently(self, ask: Callable[[], httpx.Response]) -> httpx.Response:
        deadline = time.monotonic() + WITHIN_S
        while True:
            try:
                response = ask()
                if response.status_code not in (502, 503, 504) or time.monotonic() > deadline:
                    return response
            except httpx.TransportError:
                if time.monotonic() > deadline:
                    raise NotDelivered("The gateway doesn't answer any more; see gateway.log in the data folder.") from None
            time.sleep(POLL_S)


def _credentials(world: World) -> dict[str, str]:
    """A partner of the demo's own, made once."""
    file = world.folder / "keys" / "partner.json"
    if not file.exists():
        asyncio.run(_add_partner(world.postgres.url, file))
    made: dict[str, str] = json.loads(file.read_text())
    return made


async def _add_partner(url: str, file: Path) -> None:
    from gateway.db.session import make_engine, transaction  # noqa: PLC0415 - only now
    from gateway.partners.clients import add_partner  # noqa: PLC0415

    engine = make_engine(url)
    now = system_clock()
    async with transaction(engine) as connection:
        made = await add_partner(connection, name=f"demo {now.isoformat()}", now=now)
    await engine.dispose()
    draft = file.with_suffix(".new")
    draft.write_text(json.dumps({"client_id": made.client_id, "client_secret": made.client_secret}))
    draft.chmod(0o600)
    draft.replace(file)


def _resumed(api: _Api, notes: _Notes) -> dict[str, Any] | None:
    """The order of a run that was killed, if it can still come to its end."""
    if not notes.get("order_id"):
        return None
    order = api.call("GET", f"/v1/orders/{notes.get('order_id')}")
    if order["status"] in UNFINISHED or order["status"] == "delivered":
        return order
    notes.clear()
    return None


def _ordered(api: _Api, notes: _Notes) -> dict[str, Any]:
    quote = api.call(
        "POST",
        "/v1/quotes",
        json={
            "send": {"chain": "devchain", "asset": "USDC", "amount": SEND},
            "receive": {"country": "KE", "currency": "KES", "method": "mobile_money"},
        },
    )
    reached = [
        corridor["institutions"]
        for corridor in api.call("GET", "/v1/corridors")["receive"]
        if (corridor["country"], corridor["method"]) == ("KE", "mobile_money")
    ]
    recipient = RECIPIENT | ({"institution": WALLET} if any(len(institutions) > 1 for institutions in reached) else {})
    body = {"quote_id": quote["id"], "recipient": recipient, "reference": "demo"}
    order = api.call("POST", "/v1/orders", json=body, headers={"Idempotency-Key": quote["id"]})
    notes.clear()
    notes.put(quote=quote, order_id=order["id"])
    return order


def _deposit(world: World, order: dict[str, Any], notes: _Notes) -> str:
    """Send the coins, unless a run that was killed did: the chain knows, not our notes."""
    before, address = notes.get("tx_hash"), order["deposit"]["address"]
    with Rpc(world.chain.rpc_url) as rpc:
        balance_of = "0x" + stablecoin.call("balanceOf(address)", address).hex()
        held = int(rpc("eth_call", {"to": world.chain.usdc, "data": balance_of}, "latest"), 16)
        if held or (before and rpc("eth_getTransactionByHash", before)):
            return before or "sent before"
    tx_hash = world.chain.transfer(to=address, units=int(order["send"]["amount"].replace(".", "")))
    notes.put(tx_hash=tx_hash)
    return tx_hash


def _watch(api: _Api, order: dict[str, Any], *, progress: Progress) -> dict[str, Any]:
    deadline = time.monotonic() + WITHIN_S
    status = ""
    while order["status"] not in FINAL | STUCK:
        if order["status"] != status:
            status = order["status"]
            progress(f"{status}: {order['message']}")
        if time.monotonic() > deadline:
            raise NotDelivered(f"Not delivered within {WITHIN_S:g} s: the order is {status}. {order['message']}")
        time.sleep(POLL_S)
        order = api.call("GET", f"/v1/orders/{order['id']}")
    progress(f"{order['status']}: {order['message']}")
    return order


async def _ledger(url: str) -> dict[str, dict[str, str]]:
    from gateway.db.session import make_engine, transaction  # noqa: PLC0415 - only now
    from gateway.ledger.queries import balances  # noqa: PLC0415

    engine = make_engine(url)
    async with transaction(engine) as connection:
        rows = await balances(connection)
    await engine.dispose()
    ledger: dict[str, dict[str, str]] = {}
    for account, money in rows:
        ledger.setdefault(account, {})[money.asset.code] = money.decimal()
    return ledger


def _stages(url: str, order_id: str) -> dict[str, float]:
    """Seconds that the order spent before each state it reached."""
    import psycopg  # noqa: PLC0415 - only now

    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT 'ordered', created_at FROM orders WHERE id = %(id)s UNION ALL "
            "SELECT to_state, at FROM order_events WHERE order_id = %(id)s ORDER BY 2",
            {"id": order_id},
        ).fetchall()
    return {str(state): round((at - before).total_seconds(), 2) for (_, before), (state, at) in itertools.pairwise(rows)}
