# ruff: noqa: E501 - the sentences stand as their readers see them
from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import load

NAMES = "consumer_secret initiator_password consumer_key secret password key token access_token pin key_passphrase app_id"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *[(name, '"CANARY"') for name in NAMES.split()],
        ("pin", "1234"),
        ("token", '["CANARY"]'),
        ("base_url", '"https://user:CANARY@rail.example"'),
        ("dsn", '"postgresql://rail.example/db?password=CANARY"'),
    ],
)
def test_a_secret_in_the_file_is_refused_and_not_repeated(tree, toml_file, complaints, key, value):
    variable = f"LASTMILE_ADAPTERS__MPESA__{key.upper()}"
    lines = complaints(path=toml_file(f"{tree.toml}{key} = {value}\n"), environment={variable: "right"})
    place = f"adapters.mpesa.{key}[0]" if value.startswith("[") else f"adapters.mpesa.{key}"
    assert len(lines) == 1
    assert lines[0].startswith(f"{place} ({variable}): a secret may not stand in this file; write {{ file = ")


def test_the_refusal_of_a_secret_says_where_it_may_stand(tree, toml_file, complaints):
    assert complaints(path=toml_file(tree.toml.replace('kind = "file"', 'kind = "file"\napp_id = "CANARY"'))) == [
        'pricing.sources[0].app_id: a secret may not stand in this file; write { file = "path of a file with it" } or set LASTMILE_PRICING__SOURCES__0__APP_ID instead'
    ]


@pytest.mark.parametrize("key", ["token_key_file", "public_key", "keyring", "tokens", "pinned", "secretary"])
def test_what_only_looks_like_a_secret_may_stand_in_the_file(tree, toml_file, key):
    loaded = load(path=toml_file(f'{tree.toml}{key} = "open"\n'), environment={})
    assert loaded.adapters["mpesa"].settings[key] == "open"


def test_secrets_come_from_files_named_in_the_file_or_by_a_variable(tree, toml_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("one").write_text("first\n")
    Path("two").write_text("second\n")
    Path("url").write_text("postgresql://u:p@h/d\n")
    loaded = load(
        path=toml_file(
            tree.toml + 'consumer_secret = { file = "one" }\npin = { file = "gone" }\nkeys = [{ file = "two" }]\n'
        ),
        environment={
            "LASTMILE_ADAPTERS__MPESA__INITIATOR_PASSWORD__FILE": "two",
            "LASTMILE_ADAPTERS__MPESA__PIN": "over the missing file",
            "LASTMILE_DATABASE__URL__FILE": "url",
        },
    )
    assert loaded.adapters["mpesa"].settings == {
        "short_code": "600992",
        "consumer_secret": "first",
        "keys": ["second"],
        "initiator_password": "second",
        "pin": "over the missing file",
    }
    assert loaded.database.url is not None
    assert loaded.database.url.get_secret_value() == "postgresql://u:p@h/d"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file or directory"),
        (b" \n", "it is empty"),
        (b"x" * 65_537, "it is larger than 65536 bytes"),
        (b"\xff", "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
    ],
    ids=["gone", "empty", "large", "binary"],
)
def test_a_secret_file_that_holds_no_secret_is_refused(tree, toml_file, complaints, tmp_path, monkeypatch, content, reason):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path("one").write_bytes(content)
    assert complaints(path=toml_file(tree.toml + 'consumer_secret = { file = "one" }')) == [
        f"adapters.mpesa.consumer_secret: cannot use the file 'one': {reason}; give the path of a file that holds the value"
    ]


def test_of_a_place_that_is_wrong_twice_the_cause_is_told(toml_file, complaints):
    assert complaints(path=toml_file(), environment={"LASTMILE_DATABASE__URL__FILE": "/nowhere/url"}) == [
        "database.url (LASTMILE_DATABASE__URL__FILE): cannot use the file '/nowhere/url': No such file or directory; give the path of a file that holds the value"
    ]


@pytest.mark.parametrize(
    ("variable", "line"),
    [
        ("SERVER__PORT__FILE", "server.port (LASTMILE_SERVER__PORT__FILE): a table is wrong; give a port from 1 to 65535"),
        (
            "ADAPTERS__BANK__FILE",
            'adapters.bank.kind: is missing; give the kind of an installed adapter, as in "mpesa" (`lastmile rails` lists them)',
        ),
    ],
)
def test_a_file_is_not_read_where_an_error_would_show_its_text(toml_file, tmp_path, complaints, variable, line):
    (tmp_path / "one").write_text("CANARY")
    assert complaints(path=toml_file(), environment={f"LASTMILE_{variable}": str(tmp_path / "one")}) == [line]


def test_an_adapter_may_have_a_table_with_a_file_and_more(tree, toml_file):
    loaded = load(path=toml_file(tree.toml + 'log = { file = "mpesa.log", level = "info" }'), environment={})
    assert loaded.adapters["mpesa"].settings["log"] == {"file": "mpesa.log", "level": "info"}
