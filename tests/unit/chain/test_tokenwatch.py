"""Judging what a contract says beside what it said before."""

from __future__ import annotations

import pytest

from gateway.chain.tokenwatch import judge
from gateway.ledger.freezes import FreezeKind
from gateway.money import Asset

OURS, OTHER, CODE = "0x" + "a" * 40, "0x" + "b" * 40, "0x" + "c" * 64
USDC = Asset("USDC@8453", 6)
KNOWN = "0x833589fcd6edb6e08f4c7c32d4f71b54bda02913"
BEFORE = {
    "address": KNOWN,
    "code": CODE,
    "decimals": "6",
    "paused": "0",
    "implementation (zos)": OTHER,
    "blocklist": "isBlacklisted(address)",
    "blocked": "",
}


def kinds(found: dict[str, str], before: dict[str, str] = BEFORE) -> list[FreezeKind]:
    return [finding.kind for finding in judge(asset=USDC, found=found, baseline=before)]


def test_what_is_as_it_was_is_right() -> None:
    assert kinds(BEFORE) == []


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"code": "0x" + "d" * 64}, FreezeKind.CHANGED),
        ({"code": "0x" + "0" * 64}, FreezeKind.CHANGED),
        ({"decimals": "18"}, FreezeKind.CHANGED),
        ({"implementation (zos)": OURS}, FreezeKind.CHANGED),
        ({"implementation": OURS}, FreezeKind.CHANGED),
        ({"fee in basis points": "0"}, FreezeKind.CHANGED),
        ({"deprecated": "0"}, FreezeKind.CHANGED),
        ({"paused": "1"}, FreezeKind.PAUSED),
        ({"paused": str(2**256 - 1)}, FreezeKind.PAUSED),
        ({"blocked": OURS}, FreezeKind.BLOCKED),
    ],
)
def test_each_change_has_its_kind_and_its_sentence(change: dict[str, str], kind: FreezeKind) -> None:
    (finding,) = judge(asset=USDC, found=BEFORE | change, baseline=BEFORE)
    assert finding.kind is kind
    assert KNOWN in finding.sentence
    assert finding.sentence.endswith(".")


@pytest.mark.parametrize("name", ["decimals", "paused", "implementation (zos)"])
def test_a_contract_that_does_not_answer_any_more_has_changed(name: str) -> None:
    found = {key: value for key, value in BEFORE.items() if key != name}
    assert kinds(found) == [FreezeKind.CHANGED]


def test_a_replaced_contract_is_told_with_its_successor() -> None:
    before = BEFORE | {"deprecated": "0", "replaced by": "0x" + "0" * 40}
    (replaced, changed) = judge(asset=USDC, found=before | {"deprecated": "1", "replaced by": OTHER}, baseline=before)
    assert (replaced.kind, changed.kind) == (FreezeKind.REPLACED, FreezeKind.CHANGED)
    assert OTHER in replaced.sentence


def test_an_address_that_a_person_knows_to_be_blocked_is_no_news() -> None:
    assert kinds(BEFORE | {"blocked": OURS}, BEFORE | {"blocked": f"{OTHER} {OURS}"}) == []
    assert kinds(BEFORE | {"blocked": f"{OTHER} {OURS}"}, BEFORE | {"blocked": OURS}) == [FreezeKind.BLOCKED]
    assert kinds(BEFORE, BEFORE | {"blocked": OURS}) == []


def test_a_contract_that_lacks_what_its_kind_has_is_not_of_its_kind() -> None:
    """Even at the first look, where there is nothing to compare it with."""
    found = BEFORE | {"blocklist": ""}
    (finding,) = judge(asset=USDC, found=found, baseline=found)
    assert "As FiatToken" in finding.sentence
    assert "isBlacklisted(address)" in finding.sentence
    elsewhere = found | {"address": OURS}
    assert kinds(elsewhere, elsewhere) == []


def test_where_there_is_no_contract_nothing_else_is_said() -> None:
    nothing = {"address": KNOWN, "code": "0x" + "0" * 64, "blocklist": "", "blocked": ""}
    (finding,) = judge(asset=USDC, found=nothing, baseline=nothing)
    assert finding.sentence == f"There is no contract at {KNOWN}, where USDC@8453 should be."
