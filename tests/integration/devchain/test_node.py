from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.devchain import node
from gateway.devchain.node import CannotInstall, install

INSTALLING = "development chain: installing with npm"


def fake_npm(folder: Path, script: str) -> str:
    """A folder for PATH whose npm is a shell script."""
    folder.mkdir()
    for name in ("npm", "node"):
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(stat.S_IRWXU)
    return str(folder)


def path_without_node(folder: Path) -> str:
    """A PATH with all that this machine's has, but no Node.js."""
    folder.mkdir()
    for directory in os.environ["PATH"].split(os.pathsep):
        for program in Path(directory).glob("*"):
            if program.name not in ("node", "npm", "npx") and not (folder / program.name).is_symlink():
                (folder / program.name).symlink_to(program)
    return str(folder)


def runs(executable: Path) -> bool:
    return subprocess.run([executable, "--version"], capture_output=True, check=False).returncode == 0


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_what_is_installed_is_found_again_at_once(tmp_path: Path) -> None:
    said: list[str] = []
    first = install(folder=tmp_path, progress=said.append)
    assert runs(first.anvil)
    assert (first.contracts / "v2/FiatTokenV2_2.sol/FiatTokenV2_2.json").exists()
    assert said[0] == INSTALLING
    said.clear()
    assert install(folder=tmp_path, progress=said.append) == first
    assert said == []


def test_two_installations_at_once_make_one(tmp_path: Path) -> None:
    said: list[str] = []
    with ThreadPoolExecutor(3) as threads:
        tools = set(threads.map(lambda _: install(folder=tmp_path, progress=said.append), range(3)))
    assert len(tools) == 1
    assert said.count(INSTALLING) == 1
    assert "waiting for another installation on this machine" in said


def test_an_installation_killed_in_the_middle_is_repaired(tmp_path: Path) -> None:
    slow = fake_npm(tmp_path / "slow", "mkdir node_modules; exec sleep 60")
    tools = tmp_path / "tools"
    script = (
        "import pathlib; from gateway.devchain.node import install\n"
        f"install(folder=pathlib.Path({str(tools)!r}), progress=print)"
    )
    environment = {**os.environ, "PATH": f"{slow}:{os.environ['PATH']}"}
    victim = subprocess.Popen([sys.executable, "-c", script], env=environment, start_new_session=True)
    until(lambda: any(tools.glob("*.partial-*/node_modules")))
    os.killpg(victim.pid, signal.SIGKILL)
    victim.wait()
    assert runs(install(folder=tools, progress=print).anvil)
    assert list(tools.glob("*.partial-*")) == []


def test_a_failure_tells_why_and_what_to_do_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", fake_npm(tmp_path / "bin", "echo no route to registry; exit 7"), prepend=":")
    with pytest.raises(CannotInstall, match=r"exit status 7.*network connection(?s:.*)no route to registry"):
        install(folder=tmp_path / "tools", progress=print)
    assert [path.name for path in (tmp_path / "tools").iterdir() if not path.name.endswith(".lock")] == []


def test_an_installation_without_a_node_for_this_machine_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """npm skips an optional package that it cannot fetch, and calls that success."""
    monkeypatch.setenv("PATH", fake_npm(tmp_path / "bin", "mkdir node_modules"), prepend=":")
    with pytest.raises(CannotInstall, match="without @foundry-rs/anvil"):
        install(folder=tmp_path / "tools", progress=print)


def test_a_long_installation_shows_progress_and_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", fake_npm(tmp_path / "bin", "exec sleep 60"), prepend=":")
    monkeypatch.setattr(node, "TICK_S", 0.1)
    monkeypatch.setattr(node, "INSTALL_MOST_S", 0.3)
    said: list[str] = []
    with pytest.raises(CannotInstall, match="gave up"):
        install(folder=tmp_path / "tools", progress=said.append)
    assert said[:2] == [INSTALLING, f"{INSTALLING}, 0 s"]


def test_without_npm_the_wheel_of_node_brings_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", path_without_node(tmp_path / "bin"))
    said: list[str] = []
    assert runs(install(folder=tmp_path / "tools", progress=said.append).anvil)
    assert "no npm on PATH: installing Node.js" in said
    assert node.find_node(folder=tmp_path / "tools", progress=said.append).node.is_relative_to(tmp_path)


def test_without_npm_uv_and_pip_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UV", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(node.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(CannotInstall, match=r"install Node\.js with npm, or uv"):
        install(folder=tmp_path / "tools", progress=print)


def test_the_lock_names_a_node_for_every_platform_and_no_host() -> None:
    lock = (node.HERE / "package-lock.json").read_text()
    packages = json.loads(lock)["packages"]
    platforms = {(p["os"][0], p["cpu"][0]) for name, p in packages.items() if "/anvil-" in name}
    assert platforms == {("linux", "x64"), ("linux", "arm64"), ("darwin", "x64"), ("darwin", "arm64")}
    assert "://" not in lock
