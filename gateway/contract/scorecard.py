"""`lastmile adapter check`: the contract suite on an installed adapter, in a process of its own, as a scorecard."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gateway.contract.levels import LEVELS
from gateway.errors import Refusal

ADAPTERS, CONTRACTS = "lastmile.adapters", "lastmile.contracts"
CONTRACT_VARIABLE = "LASTMILE_CONTRACT"
MISSING = "MISSING: "
CHECKS = Path(__file__).with_name("installed.py")
NEEDED = ("pytest", "pytest_asyncio")
SAID_MOST = 2_000
"""How much of pytest's own words about its failure is shown."""


class UnknownAdapter(Refusal):
    """No installed package brings it."""

    code = "unknown_adapter"

    def __init__(self, wanted: str, known: list[str]) -> None:
        names = ", ".join(known)
        super().__init__(f'There is no adapter "{wanted}". There are: {names}. One that isn\'t installed: package:Class.')


class NothingToCheckWith(Refusal):
    """The suite is made of tests, and what runs tests isn't installed."""

    code = "no_pytest"

    def __init__(self, lacking: list[str]) -> None:
        packages = " ".join(each.replace("_", "-") for each in lacking)
        super().__init__(f"The checks are tests, and {packages} isn't installed here. Install it: pip install {packages}")


class Verdict(StrEnum):
    """What became of one check."""

    PASSED = "passed"
    FAILED = "failed"
    MISSING = "missing"  # it can't be made, because the contract or the adapter doesn't say what it needs
    NOT_APPLICABLE = "not_applicable"

    @property
    def words(self) -> str:
        """For people; what is bad in capitals."""
        plain = self.value.replace("_", " ")
        return plain.upper() if self in (Verdict.FAILED, Verdict.MISSING) else plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check, and what became of it."""

    name: str
    title: str
    level: int | None
    """None: the adapter's own check, beyond the suite."""
    verdict: Verdict
    reason: str
    seconds: float


@dataclass(slots=True, kw_only=True)
class Scorecard:
    """All checks of one adapter."""

    adapter: str
    contract: str
    checks: list[Check] = field(default_factory=list[Check])
    error: str | None = None
    """Why there are no checks."""

    @property
    def bad(self) -> list[Check]:
        """What stands between the adapter and the levels above."""
        return [each for each in self.checks if each.verdict in (Verdict.FAILED, Verdict.MISSING)]

    @property
    def level(self) -> int:
        """The highest level of which, and below which, nothing is bad."""
        if self.error is not None or not self.checks:
            return 0
        lowest = min((each.level or max(LEVELS) for each in self.bad), default=max(LEVELS) + 1)
        return lowest - 1

    @property
    def ok(self) -> bool:
        """Whether there is nothing bad at all."""
        return self.level == max(LEVELS)

    def document(self) -> dict[str, Any]:
        """For a program to read."""
        checks = [asdict(each) for each in self.checks]
        return {
            "adapter": self.adapter,
            "contract": self.contract,
            "ok": self.ok,
            "level": self.level,
            "levels": len(LEVELS),
            "error": self.error,
            "checks": checks,
        }


def wanted_contracts(wanted: str | None) -> dict[str, str]:
    """The contract of an adapter's name or "package:Class", or of every installed adapter, as "module:Class" by name.

    Raises `UnknownAdapter`.
    """
    contracts = {point.name: point.value for point in entry_points(group=CONTRACTS)}
    adapters = {point.name: point.value for point in entry_points(group=ADAPTERS)}
    known = {name: contracts.get(name) or beside(adapter) for name, adapter in adapters.items()} | contracts
    if wanted in (None, "all"):
        return dict(sorted(known.items()))
    assert wanted is not None
    if ":" in wanted:
        return {wanted: beside(wanted)}
    if wanted not in known:
        raise UnknownAdapter(wanted, sorted(known))
    return {wanted: known[wanted]}


def beside(adapter: str) -> str:
    """Where the contract of "package:Class" or "package.adapter:Class" is: in the module `contract` of that package."""
    module = adapter.partition(":")[0].removesuffix(".adapter")
    return f"{module}.contract:Contract"


def contract_of(reference: str) -> type[Any]:
    """The class that "module:Class" names."""
    module, _, name = reference.partition(":")
    found: type[Any] = getattr(import_module(module), name)
    return found


def check_all(contracts: Mapping[str, str], *, progress: Callable[[str, Check], None]) -> list[Scorecard]:
    """A scorecard for each contract, some at once. Raises `NothingToCheckWith`."""

    def one(adapter: str) -> Scorecard:
        return check(adapter, contracts[adapter], progress=lambda done: progress(adapter, done))

    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        return list(pool.map(one, contracts))


def check(adapter: str, contract: str, *, progress: Callable[[Check], None]) -> Scorecard:
    """Run every check on one adapter, each reported as it ends. Raises `NothingToCheckWith`."""
    if lacking := [each for each in NEEDED if find_spec(each) is None]:
        raise NothingToCheckWith(lacking)
    card = Scorecard(adapter=adapter, contract=contract)
    environment = {**os.environ, CONTRACT_VARIABLE: contract}
    said: list[str] = []
    with subprocess.Popen(  # noqa: S603 - our own interpreter; the reference goes by the environment
        _command(), env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as run:
        assert run.stdout is not None
        for line in run.stdout:
            _take(line, card, said=said, progress=progress)
    if card.error is None and not card.checks:
        card.error = "".join(said).strip()[-SAID_MOST:] or "no check ran"
    return card


def _command() -> list[str]:
    # Only what the checks need: plugins and settings of the project in whose folder this happens have no say.
    return [
        *(sys.executable, "-m", "pytest", str(CHECKS), "--disable-plugin-autoload"),
        *("-p", "pytest_asyncio.plugin", "-p", "gateway.contract.reporter", "-p", "no:cacheprovider", "-p", "no:terminal"),
        *("-c", os.devnull, "--rootdir", str(CHECKS.parent), "--noconftest", "--capture=sys", "--import-mode=importlib"),
        *("-o", f"python_files={CHECKS.name}", "-o", "asyncio_mode=auto"),
        *("-o", "asyncio_default_fixture_loop_scope=function"),
    ]


def _take(line: str, card: Scorecard, *, said: list[str], progress: Callable[[Check], None]) -> None:
    try:
        told: Mapping[str, Any] = json.loads(line)
    except ValueError:
        said.append(line)
        return
    if "error" in told:
        card.error = told["error"]
        return
    reason = told["reason"]
    verdict = Verdict(told["outcome"]) if told["outcome"] != "skipped" else Verdict.NOT_APPLICABLE
    if verdict is Verdict.FAILED and MISSING in reason:
        verdict, reason = Verdict.MISSING, reason.partition(MISSING)[2].rpartition(" (")[0]
    card.checks = [each for each in card.checks if each.name != told["name"]]  # what broke after it passed
    facts = {key: told[key] for key in ("name", "title", "level", "seconds")}
    card.checks.append(done := Check(**facts, verdict=verdict, reason=reason))
    progress(done)
