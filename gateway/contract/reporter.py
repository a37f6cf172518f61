"""A pytest plugin that writes what became of each check as a line of JSON to the process's own standard output."""

from __future__ import annotations

import json
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A line for each check: at its call, or where it ended before or broke after."""
    report = yield
    assert isinstance(item, pytest.Function)
    if call.when == "call" or report.outcome != "passed":
        _write({**_facts(item), "outcome": report.outcome, "reason": _reason(report), "seconds": round(call.duration, 3)})
    return report


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """A line for what can't even be read."""
    if report.failed:
        said = report.longreprtext.strip()
        errors = [line.removeprefix("E").strip() for line in said.splitlines() if line.startswith("E ")]
        _write({"error": "; ".join(errors) or said})


def _facts(item: pytest.Function) -> dict[str, Any]:
    """The check's name, and the class of the suite that it stands in."""
    name = item.originalname
    chapter = next(each for each in item.cls.__mro__ if name in vars(each)) if item.cls else None
    _, bracket, case = item.name.partition("[")
    title = name.removeprefix("test_").replace("_", " ") + (f" ({case.rstrip(']')})" if bracket else "")
    return {"name": item.name, "title": title, "level": vars(chapter).get("level") if chapter else None}


def _reason(report: pytest.TestReport) -> str:
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    if report.outcome == "passed":
        return ""
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is None:
        return report.longreprtext.strip()
    return f"{crash.message.partition(chr(10))[0]} ({Path(crash.path).name}:{crash.lineno})"


def _write(line: dict[str, Any]) -> None:
    # pytest captures sys.stdout; whoever started us reads the real one.
    assert sys.__stdout__ is not None
    sys.__stdout__.write(json.dumps(line) + "\n")
    sys.__stdout__.flush()
