"""Compiles Solidity with the compiler that `gateway/chain/contracts/package-lock.json` names.

Run as `python -m tests.solidity`, it writes the artifacts in `gateway/chain/contracts` anew.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from gateway.devchain.node import Progress, find_node, install_packages

REPOSITORY = Path(__file__).parents[1]
CONTRACTS = REPOSITORY / "gateway/chain/contracts"
ARTIFACT = CONTRACTS / "ForwarderFactory.json"
OUTPUTS = ["abi", "evm.bytecode.object"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Solc:
    """The compiler, installed."""

    node: Path
    script: Path
    version: str


def tools_cache() -> Path:
    """Where the tests keep what they install: LASTMILE_TEST_CACHE, or a folder of the checkout."""
    return Path(os.environ.get("LASTMILE_TEST_CACHE") or REPOSITORY / ".lastmile/test-tools")


def install_solc(*, folder: Path, progress: Progress) -> Solc:
    modules = install_packages(manifest=CONTRACTS, folder=folder, needs="solc/solc.js", what="solc", progress=progress)
    version = json.loads((modules / "solc/package.json").read_bytes())["version"]
    return Solc(node=find_node(folder=folder, progress=progress).node, script=modules / "solc/solc.js", version=version)


def compile_sources(solc: Solc, sources: Mapping[str, str], settings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Contracts by name, each {abi, bytecode}, from sources by file name. Fails on a warning too."""
    question = {
        "language": "Solidity",
        "sources": {name: {"content": text} for name, text in sources.items()},
        "settings": {**settings, "outputSelection": {"*": {"*": OUTPUTS}}},
    }
    said = _said(solc, json.dumps(question, sort_keys=True))
    answer = json.loads(said[said.index("{") :])
    assert not answer.get("errors"), "\n".join(error["formattedMessage"] for error in answer["errors"])
    return {
        name: {"abi": contract["abi"], "bytecode": "0x" + contract["evm"]["bytecode"]["object"]}
        for contracts in answer["contracts"].values()
        for name, contract in contracts.items()
        if contract["evm"]["bytecode"]["object"]
    }


def _said(solc: Solc, question: str) -> str:
    """The compiler's answer, which is kept: it takes a second or two, and it's the same to each process of the tests."""
    kept = tools_cache() / "compiled" / sha256(f"{solc.version} {question}".encode()).hexdigest()
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        # Into a file: the script ends before a pipe has taken more than 64 KiB of its answer.
        with tempfile.NamedTemporaryFile("w", dir=kept.parent, delete=False) as output:
            command = [solc.node, solc.script, "--standard-json"]
            subprocess.run(command, input=question, stdout=output, text=True, check=True)
        Path(output.name).replace(kept)
    return kept.read_text()


def artifact(solc: Solc, source: str = "ForwarderFactory") -> dict[str, Any]:
    """What the source's artifact, `ForwarderFactory.json` say, must be."""
    settings = json.loads((CONTRACTS / "settings.json").read_bytes())
    sources = {f"{source}.sol": (CONTRACTS / f"{source}.sol").read_text()}
    return {"compiler": f"solc {solc.version}", "settings": settings, "contracts": compile_sources(solc, sources, settings)}


if __name__ == "__main__":
    compiler = install_solc(folder=tools_cache(), progress=lambda line: print(line, file=sys.stderr))
    for path in CONTRACTS.glob("*.sol"):
        path.with_suffix(".json").write_text(json.dumps(artifact(compiler, path.stem), indent=1) + "\n")
