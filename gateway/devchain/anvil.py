"""Runs Foundry's anvil as a daemon that outlives us and keeps its chain across restarts.

Facts about anvil 1.7.1, all tried: `--state` restores blocks, receipts, logs, balances and code, with their hashes, but not
the states of old blocks, so `eth_call` works at the head only until new blocks come. The genesis block is made anew at every
start: only the same `--timestamp` gives it the same hash, and the chain's time begins there again, until `evm_setTime`.
Without `--prune-history` every block's state is kept, in memory and then in gigabytes under the home directory.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import signal
import socket
import subprocess
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import httpx

from gateway.clock import system_clock
from gateway.devchain.locks import exclusive, is_held
from gateway.devchain.node import Tools
from gateway.devchain.rpc import Rpc, RpcRefused
from gateway.errors import Refusal

HOST = "127.0.0.1"
START_MOST_S = 15
ANSWER_MOST_S = 5
STOP_MOST_S = 15
POLL_S = 0.01
PORTS_TRIED = 3
STATES_KEPT = 100
"""How many blocks back `eth_call` and reorgs can reach."""

# The node's shell writes its pid and becomes the node, so that no kill of ours can leave a node that nobody knows.
_LAUNCH = """sh -c 'echo $$ >"$0"; exec "$@"' "$0" "$@" &"""


class CannotStart(Refusal):
    """The development node did not come up. `str()` says what to do."""

    code = "cannot_start"


@dataclass(frozen=True, slots=True, kw_only=True)
class Anvil:
    """A running node."""

    folder: Path
    url: str
    chain_id: int
    pid: int

    def stop(self) -> None:
        """Stop it gracefully: it writes its state first. Nothing happens if it is gone already."""
        for kind in (signal.SIGTERM, signal.SIGKILL):
            if is_held(_log(self.folder)) and _pid(self.folder) == self.pid:
                _end(self.folder, kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Birth:
    """What must be the same at every start of one chain, and the port that should be."""

    chain_id: int
    timestamp: int
    """Of the genesis block, in Unix seconds: also how we know our chain among others."""
    state: str
    """Name of the state's file. No two chains share it: who deletes the folder of a running node meets it there no more."""
    port: int


def start(
    *,
    folder: Path,
    tools: Tools,
    chain_id: int = 31337,
    block_time: float | None = None,
    port: int | None = None,
    slots_in_an_epoch: int = 1,
) -> Anvil:
    """The node of `folder`: the one still running, or a new process that continues its chain. Raises `CannotStart`.

    `block_time` in seconds makes blocks at that pace; without it each transaction makes one. A node that still runs keeps
    the settings it was started with. The block `finalized` is 2 * `slots_in_an_epoch` behind the head. It listens on
    127.0.0.1 at `port`, or the port of last time, or a free one.
    """
    folder = folder.resolve()
    pace = [] if block_time is None else ["--block-time", str(block_time)]
    pace += ["--slots-in-an-epoch", str(slots_in_an_epoch)]
    with exclusive(folder / "anvil.lock"):
        birth = _read_birth(folder) or _new_birth(chain_id)
        if birth.chain_id != chain_id:
            raise CannotStart(
                f"The chain in {folder} has id {birth.chain_id}, not {chain_id}. Use another folder, or delete it."
            )
        if (running := _await_answer(folder, birth)) is not None:
            return running
        if is_held(_log(folder)):
            raise CannotStart(
                f"The development node of {folder} runs (process {_pid(folder)}) but does not answer. Stop it."
            )
        return _revive(folder, tools, birth, pace, port)


def _revive(folder: Path, tools: Tools, birth: _Birth, pace: list[str], port: int | None) -> Anvil:
    for wished in [birth.port] + [0] * PORTS_TRIED if port is None else [port]:
        attempt = replace(birth, port=_free_port(wished, must=port is not None))
        _write_birth(folder, attempt)
        _launch(folder, tools, attempt, pace)
        if (running := _await_answer(folder, attempt)) is not None:
            _set_time(running)
            return running
        if is_held(_log(folder)):
            _end(folder, signal.SIGKILL)
    said = _log(folder).read_text(errors="replace").strip() or "nothing"
    raise CannotStart(
        f"The development node (anvil) did not start. It said: {said}\n"
        f"If its state is damaged, delete {folder} together with the gateway's database of this demo: both begin anew."
    )


def _launch(folder: Path, tools: Tools, birth: _Birth, pace: list[str]) -> None:
    identity = ["--chain-id", str(birth.chain_id), "--timestamp", str(birth.timestamp)]
    address = ["--host", HOST, "--port", str(birth.port)]
    memory = ["--state", str(folder / birth.state), "--state-interval", "1", "--prune-history", str(STATES_KEPT)]
    command = [str(tools.anvil), *identity, *address, *memory, *pace, "--quiet"]
    with _log(folder).open("ab") as log:
        # The node inherits this lock with its output: it is held exactly as long as the node lives.
        fcntl.flock(log, fcntl.LOCK_EX)
        log.truncate(0)
        (folder / "anvil.pid").unlink(missing_ok=True)
        subprocess.run(  # noqa: S603  # our own script and arguments
            ["/bin/sh", "-c", _LAUNCH, str(folder / "anvil.pid"), *command],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            check=True,
        )


def _await_answer(folder: Path, birth: _Birth) -> Anvil | None:
    """The node, once it answers; None if it ended or was mute for `START_MOST_S`."""
    url = f"http://{HOST}:{birth.port}"
    deadline = time.monotonic() + START_MOST_S
    with Rpc(url, timeout_s=ANSWER_MOST_S) as rpc:
        while is_held(_log(folder)) and time.monotonic() < deadline:
            if _is_ours(rpc, birth):
                return Anvil(folder=folder, url=url, chain_id=birth.chain_id, pid=_pid(folder))
            time.sleep(POLL_S)
    return None


def _is_ours(rpc: Rpc, birth: _Birth) -> bool:
    try:
        chain_id, genesis = rpc("eth_chainId"), rpc("eth_getBlockByNumber", "0x0", False)
        return (int(chain_id, 16), int(genesis["timestamp"], 16)) == (birth.chain_id, birth.timestamp)
    except (httpx.HTTPError, RpcRefused, ValueError, TypeError):
        return False


def _set_time(anvil: Anvil) -> None:
    """Bring the chain's time to the present, or to its last block's if that is ahead."""
    with Rpc(anvil.url) as rpc:
        last = int(rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)
        rpc("evm_setTime", max(last, int(system_clock().timestamp())))


def _end(folder: Path, kind: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(_pid(folder), kind)
    deadline = time.monotonic() + STOP_MOST_S
    while is_held(_log(folder)) and time.monotonic() < deadline:
        time.sleep(POLL_S)


def _free_port(wished: int, *, must: bool) -> int:
    for candidate in (wished, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, candidate))
            except OSError as error:
                if must:
                    raise CannotStart(f"Port {wished} is taken. Choose another, or let a free one be found.") from error
            else:
                return int(probe.getsockname()[1])
    raise CannotStart("No port is free on this machine.")


def _log(folder: Path) -> Path:
    return folder / "anvil.log"


def _pid(folder: Path) -> int:
    return int((folder / "anvil.pid").read_text())


def _read_birth(folder: Path) -> _Birth | None:
    try:
        return _Birth(**json.loads((folder / "anvil.json").read_text()))
    except FileNotFoundError:
        return None


def _new_birth(chain_id: int) -> _Birth:
    now = int(system_clock().timestamp())
    return _Birth(chain_id=chain_id, timestamp=now, state=f"state-{secrets.token_hex(4)}.json", port=0)


def _write_birth(folder: Path, birth: _Birth) -> None:
    draft = folder / "anvil.json.new"
    draft.write_text(json.dumps(asdict(birth)))
    draft.replace(folder / "anvil.json")
