"""Failpoints: nothing unless armed, and never armed unnoticed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from gateway import failpoints
from gateway.failpoints import VARIABLE, arm, arm_from_environment, failpoint

RUN = """
from gateway.failpoints import arm_from_environment, failpoint
arm_from_environment()
for time in range(5):
    failpoint("send:before")
    failpoint("dispatch.claim:after_commit")
    print("alive", flush=True)
"""


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    arm(None)


def test_nothing_happens_at_a_point_unless_it_is_armed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert arm_from_environment() is None
    assert failpoints._hook is None
    failpoint("dispatch.claim:after_commit")


def test_who_arms_hears_of_every_point_and_may_raise_there() -> None:
    heard: list[str] = []
    arm(heard.append)
    failpoint("send:before")
    failpoint("dispatch.claim:after_commit")
    assert heard == ["send:before", "dispatch.claim:after_commit"]
    arm(None)
    failpoint("send:before")
    assert len(heard) == 2


def test_arming_by_the_environment_is_said_aloud(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "dispatch.claim:after_commit#3")
    with capture_logs() as logs:
        assert arm_from_environment() == "dispatch.claim:after_commit#3"
    [line] = logs
    assert (line["log_level"], line["event"], line["point"], line["time"]) == (
        "critical",
        "failpoint_armed",
        "dispatch.claim:after_commit",
        3,
    )


@pytest.mark.parametrize("text", ["1", "true", "dispatch", "send:before#0", "send:before#x", "send:before ", "a.b.c:d"])
def test_what_names_no_point_stops_the_start(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(ValueError, match="give a point like"):
        arm_from_environment()


@pytest.mark.parametrize(("point", "lines"), [("dispatch.claim:after_commit", 0), ("send:before#3", 2), ("send:after", 5)])
def test_the_process_is_killed_as_by_the_kernel_the_time_that_was_asked_for(point: str, lines: int) -> None:
    environment = os.environ | {VARIABLE: point}
    done = subprocess.run([sys.executable, "-c", RUN], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.count("alive") == lines
    assert done.returncode == (0 if lines == 5 else -9)
