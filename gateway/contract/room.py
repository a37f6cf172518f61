"""`lastmile adapter new`: the room of a new adapter, a small rail of its own that keeps the contract, ready to be edited."""

from __future__ import annotations

import keyword
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from gateway.contract.scorecard import ADAPTERS
from gateway.errors import Refusal

ROOM = ("__init__.py", "adapter.py", "wire.py", "codes.py", "settings.py", "simulator.py", "contract.py", "README.md")
NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
NAME_MOST = 40


class BadName(Refusal):
    """No name for an adapter."""

    code = "bad_name"

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"\"{name}\" can't be an adapter's name: {reason}.")


class AlreadyThere(Refusal):
    """Something that would be overwritten."""

    code = "already_there"

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is already there. Choose another name or --folder; nothing was written.")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRoom:
    """What was written."""

    files: tuple[Path, ...]
    reference: str
    """For `lastmile adapter check`."""
    entry_points: str
    """What its project has to declare; in a package of its own it does already."""


def write_room(name: str, *, folder: Path) -> NewRoom:
    """Write FOLDER/NAME, and its test in tests/contract beside the top package. Raises `BadName` or `AlreadyThere`."""
    names = _names(name, module=".".join([*_packages(folder), name]))
    top = folder.resolve().parents[len(_packages(folder)) - 1]
    room = folder / name
    contents = {room / each: _written(each, names) for each in ROOM}
    contents[top / "tests" / "contract" / f"test_{name}.py"] = _written("test_contract.py", names)
    if not folder.exists():
        contents[folder / "__init__.py"] = '"""Adapters: one room per provider."""\n'
    return _write(contents, names, taken=room)


def write_package(name: str, *, folder: Path) -> NewRoom:
    """Write FOLDER/lastmile-NAME, a package of its own with entry points. Raises `BadName` or `AlreadyThere`."""
    names = _names(name, module=f"lastmile_{name}")
    home = folder / f"lastmile-{names['dashed']}"
    room = home / names["module"]
    contents = {room / each: _written(each, names) for each in ROOM}
    contents[home / "pyproject.toml"] = _written("pyproject.toml", names)
    contents[home / "tests" / f"test_{name}.py"] = _written("test_contract.py", names)
    return _write(contents, names, taken=home)


def _names(name: str, *, module: str) -> dict[str, str]:
    if len(name) > NAME_MOST or not NAME.fullmatch(name):
        raise BadName(name, "write lower-case letters, digits and single underscores, a letter first, as in blue_bank")
    if keyword.iskeyword(name) or name in sys.stdlib_module_names:
        raise BadName(name, "Python has it for something else")
    if name in {point.name for point in entry_points(group=ADAPTERS)}:
        raise BadName(name, "an installed adapter has it")
    words = name.split("_")
    return {
        "name": name,
        "dashed": "-".join(words),
        "title": " ".join(each.capitalize() for each in words),
        "cls": "".join(each.capitalize() for each in words),
        "module": module,
    }


def _packages(folder: Path) -> list[str]:
    """The packages in which a folder lies, the outermost first; itself, if nothing else."""
    folder = folder.resolve()
    above = _packages(folder.parent) if (folder.parent / "__init__.py").exists() else []
    return [*above, folder.name]


def _written(file: str, names: Mapping[str, str]) -> str:
    environment = Environment(
        loader=PackageLoader("gateway.contract"),
        undefined=StrictUndefined,
        autoescape=select_autoescape(()),
        keep_trailing_newline=True,
        variable_start_string="«",  # Python and JSON are full of braces
        variable_end_string="»",
    )
    return environment.get_template(f"{file}.jinja").render(names)


def _write(contents: Mapping[Path, str], names: Mapping[str, str], *, taken: Path) -> NewRoom:
    for path in (taken, *contents):
        if path.exists():
            raise AlreadyThere(path)
    for path, text in contents.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    declared = re.search(r"\[project\.entry-points.*?(?=\n\[dependency)", _written("pyproject.toml", names), re.DOTALL)
    assert declared is not None
    return NewRoom(
        files=tuple(contents), reference=f"{names['module']}:{names['cls']}", entry_points=declared.group().strip()
    )
