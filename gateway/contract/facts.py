"""The adapter and its simulator say what is true of them."""

from __future__ import annotations

import inspect
import re
from datetime import timedelta
from pathlib import Path
from typing import ClassVar
from zoneinfo import ZoneInfo

from gateway.config.fields import countries, currency_asset
from gateway.contract.ground import Ground, missing
from gateway.contract.harness import Rail
from gateway.money import Money
from gateway.offramp import CallsBack, Offramp, Resend
from gateway.railsim import Scenario

INSTITUTION = re.compile(r"[a-z0-9][a-z0-9_]*|[A-Z]{6}[A-Z0-9]{2}([A-Z0-9]{3})?")
"""A word in lower case, a national code, or a BIC."""
SIGNED = (Scenario.CALLBACK_UNSIGNED, Scenario.CALLBACK_FORGED)


class Facts(Ground):
    """What it declares agrees with itself and with what its rail can do."""

    level: ClassVar[int] = 1

    def test_the_capabilities_agree_with_each_other(self, adapter: Offramp) -> None:
        capabilities = adapter.capabilities
        assert capabilities.name == "tested"
        assert capabilities.corridors
        assert capabilities == adapter.capabilities
        assert capabilities.settles_within > timedelta(0)
        assert capabilities.resend is not Resend.DEDUPED or capabilities.resend_within > timedelta(0)
        for corridor in capabilities.corridors:
            amounts = (corridor.least, corridor.most, corridor.step)
            assert {each.asset for each in amounts} == {corridor.asset}
            assert corridor.asset == currency_asset(corridor.asset.code), "not the currency's decimals by ISO 4217"
            assert corridor.country in countries()
            assert corridor.step.units > 0
            assert Money(0, corridor.asset) < corridor.least <= corridor.most
            assert corridor.least.floor_to(corridor.step) == corridor.least
            assert corridor.most.floor_to(corridor.step) == corridor.most
            codes = [each.code for each in corridor.institutions]
            assert len(set(codes)) == len(codes)
            assert all(INSTITUTION.fullmatch(each) for each in codes)
            assert all(each.name.strip() for each in corridor.institutions)
        for cut_off in capabilities.cut_offs:
            assert cut_off.weekdays <= set(range(7))
            assert ZoneInfo(cut_off.zone)
        ways = [(each.country, each.method, each.asset, each.institutions) for each in capabilities.corridors]
        assert len(set(ways)) == len(ways)

    def test_the_capabilities_agree_with_what_the_rail_can_do(self, adapter: Offramp) -> None:
        can_return = Scenario.PAID_THEN_RETURNED not in self.absent
        if can_return and not adapter.capabilities.returns_within:
            missing("returns_within, how long after a payment its money may come back")
        assert can_return or not adapter.capabilities.returns_within, "the rail returns nothing"
        if adapter.capabilities.callbacks_are_proof:
            assert isinstance(adapter, CallsBack), "proof without callbacks"
            assert not [each.value for each in SIGNED if each in self.absent], "proof that nobody tried to forge"

    def test_an_operator_finds_a_runbook_beside_the_adapter(self) -> None:
        readme = Path(inspect.getfile(type(self).factory)).with_name("README.md")
        if not readme.exists() or "runbook" not in readme.read_text().lower():
            missing("a README.md beside the adapter, with a runbook")

    def test_the_simulator_plays_every_scenario_that_the_rail_can_have(self, rail: Rail) -> None:
        assert rail.scenarios() | set(self.absent) == set(Scenario)
        assert not rail.scenarios() & set(self.absent)
        assert all(reason.strip() for reason in self.absent.values())
