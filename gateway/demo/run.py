"""The command `lastmile demo`. Imports late: what is slow to import is imported while the other processes start."""
# ruff: noqa: PLC0415 - see above

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, TextIO

from gateway.demo.parts import FOLDERS, Progress, start_children, take_folder
from gateway.devchain.locks import is_held
from gateway.errors import Refusal

if TYPE_CHECKING:
    from gateway.config import Settings
    from gateway.demo.world import World

WATCH_S = 0.5
MPESA = "mpesa"
"""The rail of a demo that is told no other."""


class NoDemo(Refusal):
    """No demo runs, or it knows no such order."""

    code = "no_demo"


class NoPlace(Refusal):
    """A file or folder can't be made or read."""

    code = "no_place"

    def __init__(self, error: OSError) -> None:
        super().__init__(f"{error.filename}: {error.strerror}. Give another --data folder, or mend this one.")


class ToldToStop(KeyboardInterrupt):
    """A signal came.

    Not a plain KeyboardInterrupt: one that passes through `exec`, which dataclasses use when they are made, makes Python
    end itself by SIGINT at its exit although it was caught (`run_eval_code_obj` in CPython's pythonrun.c).
    """


def run_demo(*, data: Path, once: bool, rails: Sequence[str], port: int, out: TextIO) -> int:
    """Start everything; make one remittance or stay up until Ctrl-C. Returns the exit code."""
    started = time.monotonic()

    def progress(line: str) -> None:
        sys.stderr.write(f"{time.monotonic() - started:6.1f} s  {line}\n")
        sys.stderr.flush()

    told = _stop_when_told()
    try:
        with ExitStack() as stack:
            stack.callback(progress, "stopped")
            folder = take_folder(data, stack)
            progress(f"data folder: {folder}")
            children, ports = start_children(folder, rails=rails, port=port, stack=stack)
            # The processes import while we do.
            from gateway.demo.world import start_world

            world = start_world(
                data=data, folder=folder, rails=rails, children=children, ports=ports, stack=stack, progress=progress
            )
            if MPESA in rails:
                _open_float(world)
            progress(f"ready: {world.url}")
            if once:
                from gateway.demo.remittance import remit

                with _kept_up(world, progress):
                    result = remit(world, started=started, progress=progress)
                progress("stopping")
            else:
                _say_how(world)
                _stay(world, progress, told)
    except KeyboardInterrupt:
        return 130 if once else 0
    except OSError as error:
        if error.filename is None:
            raise
        raise NoPlace(error) from None
    if once:
        out.write(json.dumps(result) + "\n")
        out.flush()
    return 0


def pay_order(*, data: Path, address: str) -> str:
    """Send what an order of the running demo waits for, from the demo's own wallet. Returns the transaction's hash."""
    import psycopg

    from gateway.devchain import stablecoin
    from gateway.devchain.rpc import Rpc

    for name in FOLDERS:
        file = data / name / "demo.json"
        if not file.exists() or not is_held(data / name / "demo.lock"):
            continue
        state = json.loads(file.read_text())
        with psycopg.connect(state["database"]) as connection:
            row = connection.execute(
                "SELECT q.send_units FROM orders AS o JOIN quotes AS q ON q.id = o.quote_id WHERE o.deposit_address = %s",
                (address.lower(),),
            ).fetchone()
        if row:
            with Rpc(state["rpc"]) as rpc:
                transfer = stablecoin.call("transfer(address,uint256)", address, int(row[0]))
                return stablecoin.send(rpc, sender=state["sender"], to=state["usdc"], data=transfer)
    raise NoDemo(
        "No running demo has an order with this deposit address. Start one with `lastmile demo`, make an order there."
    )


def _stop_when_told() -> threading.Event:
    """Interrupt the main thread on SIGINT and SIGTERM, also where whoever started us ignored them (a shell's `&`).

    The exception can be lost, when the signal meets a destructor; so the event says it too.
    """
    told = threading.Event()

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        if not told.is_set():  # told twice, we are stopping already: that is not to be cut short
            told.set()
            raise ToldToStop

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    return told


def _open_float(world: World) -> None:
    """Give the operator opening balances at M-Pesa and in their wallets; the references make them count once."""
    import asyncio

    import psycopg

    from gateway.demo.keys import REFUNDS
    from gateway.demo.world import OPENING_WALLET

    with psycopg.connect(world.postgres.url) as connection:
        if connection.execute("SELECT FROM journal WHERE template = 'top_up'").fetchone():
            return

    from gateway.check import top_up_rail
    from gateway.config import load
    from gateway.demo.world import OPENING_FLOAT

    tx_hash = world.chain.transfer(to=REFUNDS.address, units=OPENING_WALLET)
    settings = load(path=world.folder / "lastmile.toml", environment={})
    asyncio.run(_book_wallets(world, settings, reference=tx_hash))
    asyncio.run(
        top_up_rail(
            settings, world.postgres.url, rail="mpesa", amount=OPENING_FLOAT, currency="KES", reference="opening balance"
        )
    )


async def _book_wallets(world: World, settings: Settings, *, reference: str) -> None:
    from gateway.clock import system_clock
    from gateway.db.session import make_engine, transaction
    from gateway.demo.keys import GAS, REFUNDS
    from gateway.demo.world import OPENING_WALLET
    from gateway.devchain.rpc import Rpc
    from gateway.ledger.post import Entry, Transfer, post, register_assets
    from gateway.money import Money

    (chain,) = settings.chains
    coins = Money(OPENING_WALLET, chain.asset(token=chain.tokens[0]))
    with Rpc(world.chain.rpc_url) as rpc:
        held = sum(int(rpc("eth_getBalance", key.address, "latest"), 16) for key in (GAS, REFUNDS))
    gas = Money(held, chain.native_asset)
    entries = [
        Entry(f"top_up:wallet:{reference}", "top_up", (Transfer(f"wallet:{chain.chain_id}", "capital", coins),)),
        Entry(f"top_up:gas:{chain.chain_id}", "top_up", (Transfer(f"gas:{chain.chain_id}", "capital", gas),)),
    ]
    engine = make_engine(world.postgres.url)
    try:
        async with transaction(engine) as connection:
            await register_assets(connection, assets=[coins.asset, gas.asset])
            await post(connection, entries=entries, now=system_clock())
    finally:
        await engine.dispose()


def _say_how(world: World) -> None:
    from gateway.config import data_folder
    from gateway.devchain.chain import SENDER_KEY

    chain = world.chain
    data = world.folder.parent
    here = "" if data == data_folder(given=None, environment={}) else f" --data {data}"
    sys.stderr.write(
        f"""
  The page               {world.url}
  Pay an order           uv run lastmile demo{here} pay DEPOSIT_ADDRESS
  or with any wallet     network {chain.rpc_url}, chain id {chain.chain_id}
                         USDC contract {chain.usdc}
                         a funded test key {SENDER_KEY}
  The console            {world.url}/console after: uv run lastmile operator add NAME{here}
  A partner for the API  uv run lastmile partner add NAME --json{here}
  Who was paid what      curl {_adapter_url(world)}/_sim/payouts  (ports of all simulators: ports.json)
  Settings and logs      {world.folder}

  Ctrl-C stops everything.

"""
    )
    sys.stderr.flush()


def _adapter_url(world: World) -> str:
    ports = json.loads((world.folder / "ports.json").read_text())
    return f"http://127.0.0.1:{ports[world.rails[0]]}"


def _stay(world: World, progress: Progress, told: threading.Event) -> None:
    with _kept_up(world, progress):
        while not told.is_set():
            time.sleep(WATCH_S)


class _kept_up:  # noqa: N801 - used as a statement
    """While it is open, a gateway that dies is started again, as an operator's service manager would."""

    def __init__(self, world: World, progress: Progress) -> None:
        self._world, self._progress = world, progress
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(WATCH_S):
            if not self._world.gateway.running():
                self._progress("gateway: it ended; starting it again")
                self._world.gateway.start()
