"""The contract suite catches what it is for: a good adapter, damaged in one place, fails the check that names the damage."""

from __future__ import annotations

import subprocess

import pytest

from gateway.contract import scorecard
from gateway.contract.room import write_package

DAMAGES = [
    # file, what stands there, what stands there instead, the check that has to fail
    ("codes.py", "Meaning(Kind.DUPLICATE,", "Meaning(Kind.FAILED,", "duplicate_answer"),
    (
        "adapter.py",
        "return Report(outcome=Outcome.UNKNOWN, reason=str(error))",
        "raise NotSent(str(error))",
        "without_an_answer",
    ),
    (
        "adapter.py",
        'return Report(outcome=Outcome.UNKNOWN, reason=f"HTTP {answer.status} to our question")',
        'return Report(outcome=Outcome.FAILED, fault=__import__("gateway.offramp").offramp.Fault.RAIL)',
        "not_found_is_not_failed",
    ),
    ("wire.py", "table.get(word, UNLISTED)", 'table.get(word, table["processing"])', "status_in_no_document"),
    ("adapter.py", "corridor_of(self._capabilities, instruction)", "pass", "outside_the_limits"),
    ("adapter.py", "if not wire.is_phone(instruction.to.account):", "if False:", "outside_the_limits"),
    ("adapter.py", "if not same(given, right):", "if False:", "forged_success"),
    ("adapter.py", "if not same(given, right):", "if given and not same(given, right):", "fresh_signature"),
    ("adapter.py", "> FRESH.total_seconds()", "> 10**9", "fresh_signature"),
    ("adapter.py", "if not same(given, right):", "if False:", "bound_to_every_byte"),
    ("adapter.py", 'if values.get("id") != request.attempt_id:', "if False:", "about_another_payment"),
    ("adapter.py", "if request.label != RESULT:", "if False:", "address_never_given"),
    ("adapter.py", "event_id=event_id(request)", 'event_id="news"', "different_news"),
    ("adapter.py", "event_id=event_id(request)", "event_id=str(id(request))", "twice_is_one_event"),
    ("adapter.py", "proof=True)", "proof=False)", "proof_only_where"),
    ("wire.py", 'separators=(",", ":")', 'separators=(", ", ":")', "every_request"),
    ("adapter.py", '{"authorization":', '{"x-more": "1", "authorization":', "every_request"),
    ("wire.py", '"currency", "receipt", "code"})', '"currency", "receipt", "code", "phone"})', "nothing_personal"),
    (
        "adapter.py",
        "async def close(self)",
        "def __repr__(self) -> str:\n        return str(self._key())\n\n    async def close(self)",
        "nothing_personal",
    ),
    ("wire.py", 'money_of(values.get("amount"), asset)', "Money(10_00, KES)", "short_payment"),
    ("wire.py", 'money_of(each.get("amount"), ASSETS[each["currency"]])', "Money(1, KES)", "balance_is_what"),
    ("codes.py", "Meaning(Kind.RETURNED,", "Meaning(Kind.FAILED,", "comes_back"),
    ("adapter.py", "returns_within=timedelta(seconds=settings.returns_within_s),", "", "agree_with_what_the_rail"),
    (
        "codes.py",
        '(429, "too_many_requests"): Meaning(Kind.NOT_PROCESSED',
        '(429, "too_many_requests"): Meaning(Kind.AMBIGUOUS',
        "throttled",
    ),
    (
        "adapter.py",
        "raise NotTold(str(error)) from None",
        "return Answer(200, {}, b'{\"balances\": []}')",
        "balance_that_is_not_told",
    ),
    ("wire.py", "deliver.decimal()", "str(deliver.units // 100)", "every_step"),
    ("wire.py", '"id": instruction.attempt_id,', '"id": f"{instruction.attempt_id}{id(object())}",', "one_id_sent_twice"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("file", "right", "wrong", "check"), DAMAGES, ids=[each[3] for each in DAMAGES])
def test_a_damaged_adapter_fails_the_check_that_names_the_damage(tmp_path, monkeypatch, file, right, wrong, check):
    write_package("blue_bank", folder=tmp_path)
    home = tmp_path / "lastmile-blue-bank"
    path = home / "lastmile_blue_bank" / file
    assert right in path.read_text()
    monkeypatch.chdir(home)
    monkeypatch.setenv(scorecard.CONTRACT_VARIABLE, "lastmile_blue_bank.contract:Contract")
    path.write_text(path.read_text().replace(right, wrong))
    assert verdicts(check) & {"failed", "missing"}


def verdicts(check):
    run = subprocess.run([*scorecard._command(), "-k", check], capture_output=True, text=True, check=False)
    card = scorecard.Scorecard(adapter="", contract="")
    for line in run.stdout.splitlines():
        scorecard._take(line, card, said=[], progress=lambda _: None)
    assert card.error is None
    return {each.verdict.value for each in card.checks if each.verdict is not scorecard.Verdict.NOT_APPLICABLE}
