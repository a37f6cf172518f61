"""Every registered simulator serves its control endpoints, as `lastmile simulator NAME` runs it."""

from __future__ import annotations

from importlib.metadata import entry_points

import httpx
import pytest

from gateway.contract.harness import served
from gateway.railsim.scenario import SENTENCES
from gateway.simulators import SIMULATORS

RAILS = {point.name for point in entry_points(group="lastmile.adapters")}
POINTS = sorted(entry_points(group=SIMULATORS), key=lambda point: point.name)


@pytest.mark.parametrize("point", [each for each in POINTS if each.name in RAILS], ids=lambda point: point.name)
def test_a_simulator_can_be_scripted_and_read(point, monkeypatch, tmp_path):
    monkeypatch.setenv("LASTMILE_SIMULATOR_STATE", str(tmp_path / "state.sqlite"))
    with served(point.load()()) as url, httpx.Client(base_url=f"{url}/_sim", trust_env=False) as sim:
        assert set(sim.get("/scenarios").json()) <= {each.value for each in SENTENCES}
        assert "happy" in sim.get("/scenarios").json()
        settings = sim.get("/settings").json()
        assert any(url in str(value) for value in settings.values())
        assert sim.get("/payouts").json() == []
        assert sim.get("/balance").json()
        assert sim.post("/faults", json={"scenarios": ["happy"]}).status_code == 201
        assert [each["scenarios"] for each in sim.get("/faults").json()] == [["happy"]]
        assert sim.post("/faults", json={"scenarios": ["no_such_thing"]}).status_code == 422
        assert sim.delete("/faults").status_code == 204
        assert sim.get("/faults").json() == []
    with served(point.load()()) as url:
        again = httpx.get(f"{url}/_sim/settings", trust_env=False).json()
    assert {key for key in settings if settings[key] != again[key]} <= {
        key for key in settings if "://" in str(settings[key])
    }


def test_every_rail_has_a_simulator_and_a_contract():
    contracts = {point.name for point in entry_points(group="lastmile.contracts")}
    assert {point.name for point in POINTS} >= RAILS
    assert contracts == RAILS
