"""Profiles and settings are refused with a sentence per key, and no value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from adapters.gsma_mm.profile import load, shipped
from adapters.gsma_mm.settings import Configuration
from gateway.offramp import BadSettings, Resend

GOOD = {
    "base_url": "https://operator.example",
    "account": "2999",
    "client_id": "lastmile",
    "client_secret": "hush-secret",
    "api_key": "hush-key",
}
SANDBOX = (Path(__file__).parents[4] / "adapters/gsma_mm/profiles/sandbox.toml").read_text()


def profile(tmp_path: Path, *changes: tuple[str, str]) -> str:
    text = SANDBOX
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "operator.toml"
    path.write_text(text)
    return str(path)


def problems(settings: Any) -> dict[str, str]:
    with pytest.raises(BadSettings) as refused:
        Configuration.read(settings)
    assert "hush" not in str(refused.value)
    return dict(refused.value.problems)


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_profile_is_whole(name: str) -> None:
    corridors = [each.corridor() for each in load(name).corridors]
    assert all(each.least.floor_to(each.step) == each.least for each in corridors)
    assert all(each.institutions for each in corridors)


def test_a_profile_of_ones_own_is_read_from_its_path(tmp_path: Path) -> None:
    path = profile(tmp_path, ('operator = "GSMA sandbox"', 'operator = "Ours"'))
    assert load(path).operator == "Ours"


def test_the_times_of_the_profile_count_unless_the_settings_say_otherwise() -> None:
    assert Configuration.read(GOOD).settings.settles_within_s == 600
    assert Configuration.read({**GOOD, "settles_within_s": 60}).settings.settles_within_s == 60
    synchronous = Configuration.read({**GOOD, "profile": "synchronous"}).settings
    assert (synchronous.settles_within_s, synchronous.resend_within_s) == (120, 86_400)


@pytest.mark.parametrize("path", ["/no/such/profile.toml", "no_such_profile", "/"])
def test_a_profile_that_is_not_there_is_named_with_those_that_are(path: str) -> None:
    assert problems({**GOOD, "profile": path}) == {
        "profile": "give sandbox, synchronous or the path of a readable TOML file"
    }


def test_a_profile_that_is_no_toml_is_refused_with_the_place(tmp_path: Path) -> None:
    path = profile(tmp_path, ('auth = "oauth"', "auth oauth"))
    assert problems({**GOOD, "profile": path})["profile"].startswith("the file must be TOML: ")


@pytest.mark.parametrize(
    ("key", "old", "new"),
    [
        ("profile.base_path", '"/simulator/v1.2/passthrough/mm"', '"simulator"'),
        ("profile.auth", '"oauth"', '"magic"'),
        ("profile.headers", '"X-Date", ', '"X-Unheard-Of", '),
        ("profile.plus", "plus = true", 'plus = "perhaps"'),
        ("profile.statuses", 'completed = "paid"', 'completed = "probably"'),
        ("profile.resend", '"deduped"', '"always"'),
        ("profile.returns_within_s", "returns_within_s = 604800", "returns_within_s = -1"),
        ("profile.corridors", 'least = "100"', 'least = "100.5"'),
        ("profile.corridors", 'least = "100"', 'least = "0"'),
        ("profile.corridors", 'most = "1000000"', 'most = "99"'),
        ("profile.corridors", 'step = "1"', 'step = "3"'),
        ("profile.corridors", 'country = "RW"', 'country = "Rwanda"'),
        ("profile.corridors", 'prefix = "+250"', 'prefix = "250"'),
        ("profile.whole", 'token_path = "/v1/oauth/accesstoken"', 'token_path = ""'),
        ("profile.whole", '"X-API-Key", ', '"X-API-Key", "X-Channel", '),
        ("profile.whole", 'completed = "paid"', 'completed = "pending"'),
        (
            "profile.whole",
            'country = "GH"\ncurrency = "GHS"\ndecimals = 2',
            'country = "RW"\ncurrency = "RWF"\ndecimals = 2',
        ),
        ("profile.unheard_of", "plus = true", "plus = true\nunheard_of = 1"),
    ],
)
def test_each_wrong_key_of_a_profile_has_its_sentence(tmp_path: Path, key: str, old: str, new: str) -> None:
    told = problems({**GOOD, "profile": profile(tmp_path, (old, new))})
    assert list(told) == [key]
    assert told[key].startswith(("give ", "it must ", "is no key"))


def test_what_the_operator_wants_has_to_be_given() -> None:
    wanted = {key: value for key, value in GOOD.items() if key in ("base_url", "account")}
    assert set(problems(wanted)) == {"client_id", "client_secret", "api_key"}
    assert set(problems({**wanted, "profile": "synchronous"})) == {"client_id", "client_secret", "api_key"}


@pytest.mark.parametrize(
    ("key", "value"),
    [("base_url", "ftp://x"), ("account", " "), ("api_key", ""), ("description", "x" * 161), ("unheard_of", 1)],
)
def test_each_wrong_setting_has_its_sentence(key: str, value: object) -> None:
    assert list(problems({**GOOD, key: value})) == [key]


def test_an_operator_that_does_not_drop_doubles_is_never_sent_one(tmp_path: Path) -> None:
    path = profile(tmp_path, ('resend = "deduped"', 'resend = "findable"'))
    assert Configuration.read({**GOOD, "profile": path}).profile.resend is Resend.FINDABLE


def test_no_secret_shows() -> None:
    assert "hush" not in repr(Configuration.read(GOOD))
    assert "2999" not in repr(Configuration.read(GOOD))
