"""What every bench prints: a table for people and, as its last line, one JSON object."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path


def machine() -> dict[str, object]:
    cpu = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor(),
    )
    return {"cpu": cpu, "cores": os.cpu_count(), "python": platform.python_version(), "load": os.getloadavg()[0]}


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def report(
    *, bench: str, rows: Mapping[str, Sequence[float]], ratios: Mapping[str, float], floors: Mapping[str, float]
) -> None:
    """`rows`: name to the rounds' figures, higher is better."""
    width = max(map(len, rows))
    print(f"{'':{width}}  {'median':>10}  {'least':>10}  {'most':>10}")
    for name, figures in rows.items():
        print(f"{name:{width}}  {statistics.median(figures):10,.0f}  {min(figures):10,.0f}  {max(figures):10,.0f}")
    for name, ratio in ratios.items():
        print(f"{name:{width}}  {ratio:10.2f} x")
    print(json.dumps({"bench": bench, "ratios": ratios, "floors": floors, "machine": machine()}))
