"""A small rail with a book of its own, over HTTP, in the test's process: what it has paid survives every kill of ours.

It can do what only a rail can: kill the caller's process when it has acted and before it answers, and deliver a callback
again until somebody has taken it.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

FLOAT = 10**12
"""What our account there holds at first, in units."""
AGAIN_S = 0.03
AGAIN_MOST = 400


class Way(StrEnum):
    """What the rail does with the payments of one recipient."""

    AT_ONCE = "at_once"
    POLLED = "polled"  # pending until it is asked the second time
    PROOF = "proof"  # pending until its callback, which is proof, has been taken
    BELL = "bell"  # pending until its callback, which is no proof, has been taken
    LOST = "lost"  # pays and cuts the connection
    UNPAID = "unpaid"  # cuts the connection the first time without having done anything; then pays
    BUSY = "busy"  # refuses once for a moment, then pays
    RETURNED = "returned"  # pays and says later that the money came back
    STOPPED = "stopped"  # pending until it is told to stop
    MUDDLED = "muddled"  # the same, and cuts the connection at first


@dataclass
class Entry:
    """One payment of the book, by the payer's id."""

    account: str
    units: int
    way: Way
    status: str = "pending"
    asked: int = 0
    times: int = 0
    """How often money moved for this id."""
    callback: str | None = None
    at: str = ""
    """When, by the payer's clock."""


@dataclass
class Book:
    """What the rail has done. `ways`: by account; what isn't in it is paid at once."""

    url: str = ""
    ways: dict[str, Way] = field(default_factory=dict)
    entries: dict[str, Entry] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)
    victims: list[Callable[[str], bool]] = field(default_factory=list)
    """Asked with what has been done ("pay", "status"); True kills the caller before it is answered."""
    killed: list[str] = field(default_factory=list)
    callers: list[int] = field(default_factory=list)
    """Who told us to pay: the processes, in their order."""
    robbers: dict[str, Callable[[], None]] = field(default_factory=dict)
    """What happens elsewhere while we pay these accounts."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def paid(self) -> Counter[str]:
        """How often each account has the money now."""
        with self.lock:
            got: Counter[str] = Counter()
            for entry in self.entries.values():
                got[entry.account] += entry.times - (entry.status == "returned")
            return got

    def out(self) -> int:
        """Units that have left the account for good."""
        with self.lock:
            return sum(entry.units * (entry.times - (entry.status == "returned")) for entry in self.entries.values())

    def pay(self, wanted: dict[str, Any]) -> tuple[Entry | None, bool]:
        """The entry, None if it was refused; and whether the connection is cut."""
        with self.lock:
            known = self.entries.get(wanted["id"])
            if known is not None:
                return known, False
            account = wanted["account"]
            way = self.ways.get(account, Way.AT_ONCE)
            self.refused[account] += 1
            first = self.refused[account] == 1
            if first and way is Way.UNPAID:
                return None, True
            if first and way is Way.BUSY:
                return None, False
            entry = Entry(account, int(wanted["units"]), way, callback=wanted.get("callback"), at=wanted["at"])
            self.entries[wanted["id"]] = entry
            if way not in (Way.POLLED, Way.STOPPED, Way.MUDDLED):
                entry.times += 1
            if way in (Way.AT_ONCE, Way.LOST, Way.UNPAID, Way.BUSY, Way.RETURNED):
                entry.status = "paid"
        if way in (Way.PROOF, Way.BELL, Way.RETURNED):
            threading.Thread(target=self._call_back, args=(wanted["id"], entry), daemon=True).start()
        return entry, way in (Way.LOST, Way.MUDDLED)

    def ask(self, attempt_id: str) -> Entry | None:
        with self.lock:
            entry = self.entries.get(attempt_id)
            if entry is not None and entry.way is Way.POLLED:
                entry.asked += 1
                if entry.asked > 1 and entry.times == 0:
                    entry.times, entry.status = 1, "paid"
            return entry

    def stop(self, attempt_id: str) -> Entry | None:
        with self.lock:
            entry = self.entries.get(attempt_id)
            if entry is not None and entry.status == "pending" and not entry.times:
                entry.status = "stopped"
            return entry

    def lines(self) -> list[dict[str, Any]]:
        """The account's statement."""
        with self.lock:
            return [
                {"line": f"{kind} {id_}", "kind": kind, "units": entry.units, "at": entry.at, "id": id_}
                for id_, entry in self.entries.items()
                for kind in ["payout"] * entry.times + ["return"] * (entry.status == "returned")
            ]

    def _call_back(self, attempt_id: str, entry: Entry) -> None:
        """Until it has been taken, and then once more, as rails do."""
        if entry.way is Way.RETURNED:
            time.sleep(2 * AGAIN_S)
            entry.status = "returned"
        status = "paid" if entry.way in (Way.PROOF, Way.BELL) else entry.status
        body = json.dumps({"id": attempt_id, "status": status, "units": entry.units, "proof": entry.way is not Way.BELL})
        taken = 0
        for _ in range(AGAIN_MOST):
            taken += entry.callback is not None and _post(entry.callback, body)
            if taken:
                entry.status = status
            if taken == 2:
                return
            time.sleep(AGAIN_S)


def _post(url: str, body: str) -> bool:
    parts = urlsplit(url)
    connection = HTTPConnection(str(parts.hostname), parts.port, timeout=2)
    try:
        connection.request("POST", parts.path, body, {"content-type": "application/json"})
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    book: Book

    def do_POST(self) -> None:
        wanted = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path == "/stop":
            entry = self.book.stop(wanted["id"])
            self._answer({"status": "not_found"} if entry is None else _told(wanted["id"], entry))
            return
        with self.book.lock:
            self.book.callers.append(int(self.headers["x-pid"]))
            rob = self.book.robbers.pop(wanted["account"], None)
        entry, cut = self.book.pay(wanted)
        if rob is not None:
            rob()
        self._perhaps_kill("pay")
        if cut:
            self.close_connection = True
            return
        self._answer({"status": "busy"} if entry is None else _told(wanted["id"], entry))

    def do_GET(self) -> None:
        if self.path in ("/lines", "/balance"):
            self._answer({"lines": self.book.lines(), "units": FLOAT - self.book.out()})
            return
        attempt_id = self.path.rpartition("/")[2]
        entry = self.book.ask(attempt_id)
        self._perhaps_kill("status")
        self._answer({"status": "not_found"} if entry is None else _told(attempt_id, entry))

    def _perhaps_kill(self, did: str) -> None:
        with self.book.lock:
            victim = next((each for each in self.book.victims if each(did)), None)
            if victim is None:
                return
            self.book.victims.remove(victim)
            self.book.killed.append(did)
        with suppress(ProcessLookupError):
            os.kill(int(self.headers["x-pid"]), signal.SIGKILL)

    def _answer(self, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        with suppress(OSError):
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep silent."""


def _told(attempt_id: str, entry: Entry) -> dict[str, Any]:
    return {"status": entry.status, "units": entry.units, "ref": f"ref-{attempt_id}"}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Callers die here on purpose."""


@contextmanager
def rail() -> Iterator[Book]:
    """A rail that runs until the end of the block."""
    book = Book()
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"book": book}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        book.url = f"http://127.0.0.1:{server.server_port}"
        yield book
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
