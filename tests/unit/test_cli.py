"""The command line: what is wrong is one sentence on standard error and exit code 1, never a stack."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from importlib.metadata import entry_points

import httpx
import pytest

from gateway.db.embedded import Server
from gateway.demo.children import wait_until
from gateway.devchain.locks import is_held


def lastmile(*arguments, **environment):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LASTMILE_")}
    command = [sys.executable, "-m", "gateway.cli", *arguments]
    return subprocess.run(command, env=clean | environment, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("up", "--config", "/nowhere/lastmile.toml"), "/nowhere/lastmile.toml: cannot be read"),
        (("check",), "lastmile.toml: there is none here"),
        (("simulator", "pigeon"), 'There is no simulator "pigeon". There are: agent_network, airtel'),
        (("simulator", "mpesa:x"), "as in mpesa:7001"),
        (("demo", "pay", "0x00"), "No running demo has an order with this deposit address"),
    ],
)
def test_a_mistake_is_told_in_a_sentence(tmp_path, arguments, part):
    done = lastmile(*arguments, LASTMILE_DATA=str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert part in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_in_use_is_told():
    with socket.create_server(("127.0.0.1", 0)) as other:
        done = lastmile("simulator", "mpesa", "--port", str(other.getsockname()[1]))
    assert done.returncode == 1
    assert "Can't listen on port" in done.stderr


def test_help_is_quick_and_lists_the_commands():
    started = time.monotonic()
    done = lastmile("--help")
    assert time.monotonic() - started < 5
    assert {"demo", "up", "serve", "work", "check", "migrate", "partner", "rails", "simulator"} <= set(done.stdout.split())


def test_the_installed_adapters_are_listed():
    listed = dict(line.split() for line in lastmile("rails").stdout.splitlines())
    assert listed["mpesa"] == "adapters.mpesa:Mpesa"
    assert {point.name for point in entry_points(group="lastmile.adapters")} == set(listed)


def test_several_simulators_run_in_one_process_and_stop_when_told(tmp_path):
    command = [sys.executable, "-m", "gateway.cli", "simulator", "mpesa:0", "open_exchange_rates:0"]
    log = tmp_path / "log"
    with log.open("wb") as file, subprocess.Popen(command, stderr=file) as process:
        urls = []

        def up():
            urls[:] = re.findall(r"http://\S+", log.read_text())
            return len(urls) == 2 and all(answers(url + "/_sim/rates", url + "/_sim/payouts") for url in urls)

        assert wait_until(up, within_s=30), log.read_text()
        process.terminate()
        process.wait(10)


def answers(*urls):
    try:
        return any(httpx.get(url, timeout=2).is_success for url in urls)
    except httpx.HTTPError:
        return False


def test_a_demo_that_cannot_be_installed_says_so_and_stops_what_it_started(tmp_path):
    (tmp_path / "tools").write_text("a file where a folder has to be")
    done = lastmile("demo", "--once", "--data", str(tmp_path))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr, done.stderr
    assert not is_held(tmp_path / "demo" / "gateway.lock")
    assert not Server(folder=tmp_path / "demo" / "postgres").running()
