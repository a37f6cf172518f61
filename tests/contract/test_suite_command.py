"""`lastmile adapter check` and `new`."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.commands.adapter import app
from gateway.contract import scorecard
from gateway.contract.room import AlreadyThere, BadName, write_package, write_room
from gateway.contract.scorecard import NothingToCheckWith, UnknownAdapter, Verdict

PLAIN = '''
import pytest

class Contract:
    """Stands for a subclass of the suite."""

class Chapter:
    level = 2

    def test_what_it_keeps(self): ...

    def test_what_it_breaks(self):
        assert 1 == 2

    @pytest.mark.parametrize("case", ["one"])
    def test_what_it_need_not_keep(self, case):
        pytest.skip("no such thing there")

class Contract(Chapter):
    def test_of_its_own(self):
        pytest.fail("MISSING: a table", pytrace=False)
'''


def lastmile(*words):
    return CliRunner().invoke(app, words)


@pytest.fixture
def plain(tmp_path, monkeypatch):
    """A package with a contract of four checks."""
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "__init__.py").touch()
    (tmp_path / "plain" / "contract.py").write_text(PLAIN)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "plain" / "contract.py"


def test_a_new_package_keeps_the_whole_contract_and_declares_itself(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert lastmile("new", "blue_bank", "--package").exit_code == 0
    home = tmp_path / "lastmile-blue-bank"
    declared = tomllib.loads((home / "pyproject.toml").read_text())["project"]["entry-points"]
    assert declared == {
        "lastmile.adapters": {"blue_bank": "lastmile_blue_bank:BlueBank"},
        "lastmile.simulators": {"blue_bank": "lastmile_blue_bank.simulator:app"},
        "lastmile.contracts": {"blue_bank": "lastmile_blue_bank.contract:Contract"},
    }
    monkeypatch.chdir(home)
    checked = lastmile("check", "lastmile_blue_bank:BlueBank", "--json")
    card = json.loads(checked.stdout)
    assert [each for each in card["checks"] if each["verdict"] in ("failed", "missing")] == []
    assert (checked.exit_code, card["ok"], card["level"], card["levels"], card["error"]) == (0, True, 4, 4, None)
    assert len(card["checks"]) > 50


@pytest.mark.usefixtures("plain")
def test_a_scorecard_says_what_failed_what_is_missing_and_what_does_not_apply():
    checked = lastmile("check", "plain:Adapter", "--verbose")
    assert checked.exit_code == 1
    lines = [line.strip() for line in checked.stdout.splitlines()]
    assert lines[0] == "plain:Adapter (plain.contract:Contract)"
    assert lines[1].startswith("2  survives every fault")
    assert lines[1].endswith("1 passed, 1 FAILED, 1 not applicable")
    assert lines[2] == "passed   what it keeps"
    assert lines[3] == "FAILED   what it breaks: assert 1 == 2 (contract.py:13)"
    assert lines[4] == "n/a      no such thing there"
    assert lines[5] == "+  the adapter's own checks: 1 MISSING"
    assert lines[6] == "MISSING  of its own: a table"
    assert lines[7].startswith("Level 1 of 4")


def test_a_contract_that_can_not_be_read_is_said_and_fails(plain):
    plain.write_text("import no_such_module")
    checked = lastmile("check", "plain.adapter:Adapter")
    assert checked.exit_code == 1
    assert "No check could be made: ModuleNotFoundError: No module named 'no_such_module'\n" in checked.stdout


def test_the_level_is_the_highest_without_anything_bad_in_it_or_below():
    def card(**verdicts):
        checks = [
            scorecard.Check(name=name, title=name, level=level, verdict=verdict, reason="", seconds=0)
            for name, (level, verdict) in verdicts.items()
        ]
        return scorecard.Scorecard(adapter="a", contract="a.contract:Contract", checks=checks)

    good, bad, lacking = Verdict.PASSED, Verdict.FAILED, Verdict.MISSING
    assert card(a=(1, good), b=(2, good), c=(4, Verdict.NOT_APPLICABLE)).level == 4
    assert card(a=(1, good), b=(2, good), c=(3, lacking), d=(4, good)).level == 2
    assert card(a=(1, good), b=(2, bad), c=(4, bad)).level == 1
    assert card(a=(1, good), own=(None, bad)).level == 3
    assert card().level == 0
    assert not card(a=(4, bad)).ok


def test_without_a_name_every_installed_adapter_is_checked():
    every = scorecard.wanted_contracts(None)
    assert every == scorecard.wanted_contracts("all")
    assert every["mpesa"] == "adapters.mpesa.contract:Contract"
    assert scorecard.wanted_contracts("mpesa") == {"mpesa": "adapters.mpesa.contract:Contract"}
    assert scorecard.wanted_contracts("some.where.adapter:It") == {"some.where.adapter:It": "some.where.contract:Contract"}


def test_an_unknown_adapter_is_refused_with_the_names_of_those_that_there_are():
    with pytest.raises(UnknownAdapter, match="mpesa"):
        scorecard.wanted_contracts("nobody")


def test_without_pytest_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(scorecard, "find_spec", lambda _: None)
    with pytest.raises(NothingToCheckWith, match="pip install pytest pytest-asyncio"):
        scorecard.check("mpesa", "adapters.mpesa.contract:Contract", progress=lambda _: None)


@pytest.mark.parametrize(
    "name", ["", "Blue", "1st", "blue-bank", "blue__bank", "_blue", "../x", "class", "json", "mpesa", "x" * 41]
)
def test_a_name_that_is_none_is_refused_and_nothing_is_written(tmp_path, name):
    for write in (write_package, write_room):
        with pytest.raises(BadName):
            write(name, folder=tmp_path / "adapters")
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_not_overwritten(tmp_path):
    (tmp_path / "adapters" / "blue_bank").mkdir(parents=True)
    (tmp_path / "lastmile-blue-bank").mkdir()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(AlreadyThere, match="nothing was written"):
        write_room("blue_bank", folder=tmp_path / "adapters")
    with pytest.raises(AlreadyThere):
        write_package("blue_bank", folder=tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_room_knows_in_which_packages_it_lies_and_its_test_stands_beside_them(tmp_path):
    rooms = tmp_path / "ours" / "rails"
    rooms.mkdir(parents=True)
    for folder in (rooms, rooms.parent):
        (folder / "__init__.py").touch()
    room = write_room("blue_bank", folder=rooms)
    assert room.reference == "ours.rails.blue_bank:BlueBank"
    assert "from ours.rails.blue_bank import wire" in (rooms / "blue_bank" / "adapter.py").read_text()
    assert 'blue_bank = "ours.rails.blue_bank.simulator:app"' in room.entry_points
    assert tmp_path / "tests" / "contract" / "test_blue_bank.py" in room.files
    assert {path.name for path in (rooms / "blue_bank").iterdir()} == {
        "__init__.py",
        "adapter.py",
        "wire.py",
        "codes.py",
        "settings.py",
        "simulator.py",
        "contract.py",
        "README.md",
    }
    assert all("«" not in Path(path).read_text() for path in room.files)
