"""Each guard is taken away once, in a copy of the tree, and somebody notices; with all of them in place nobody does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.db.embedded import Server
from tests.sim.databases import own_database
from tests.sim.planted import BROKEN, BUGS, Planted, Simulation, copy_tree, plant
from tests.sim.planted_money import MONEY

PYTEST = [sys.executable, "-m", "pytest", "-n", "0", "-q", "-x", "-m", "not slow", "-p", "no:cacheprovider"]
FAILED = 1
"""How pytest ends when tests fail; 2 and more: it couldn't run them."""
ALL = (*BUGS, *MONEY)
SIMULATED = [bug for bug in ALL if bug.simulation]
WITHIN_S = 600


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the product and its tests."""
    copy_tree(tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("bug", ALL, ids=lambda bug: bug.name)
def test_a_guard_that_is_missing_is_missed(bug: Planted, tree: Path) -> None:
    plant(bug, tree)
    code, said = run([*PYTEST, *bug.quick], tree)
    assert (code, " failed" in said, " error" in said.splitlines()[-1]) == (FAILED, True, False), said


@pytest.mark.slow
@pytest.mark.timeout(WITHIN_S)
@pytest.mark.parametrize("bug", SIMULATED, ids=lambda bug: bug.name)
def test_a_simulation_misses_it_too(bug: Planted, tree: Path, postgres: Server) -> None:
    assert bug.simulation is not None
    plant(bug, tree)
    code, said = simulate(bug.simulation, tree, postgres)
    assert (code, "seed" in said) == (BROKEN, True), said


@pytest.mark.slow
@pytest.mark.timeout(WITHIN_S)
@pytest.mark.parametrize("net", sorted({bug.simulation for bug in SIMULATED if bug.simulation}, key=repr), ids=repr)
def test_with_every_guard_in_place_the_same_simulation_finds_nothing(net: Simulation, tree: Path, postgres: Server) -> None:
    code, said = simulate(net, tree, postgres)
    assert code == 0, said


def simulate(net: Simulation, tree: Path, postgres: Server) -> tuple[int, str]:
    with own_database(postgres) as url:
        return run([sys.executable, "-m", "tests.sim.planted", str(net.seed), str(net.orders), url], tree)


def run(command: list[str], tree: Path) -> tuple[int, str]:
    """How it ended and what it said, in that tree."""
    environment = os.environ | {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, timeout=WITHIN_S, check=False)
    return done.returncode, (done.stdout + done.stderr)[-4000:]
