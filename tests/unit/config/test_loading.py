# ruff: noqa: E501 - the sentences stand as their readers see them
from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.config import data_folder, load, parse
from gateway.money import Asset

ROOT = Path(__file__).parents[3]


def test_a_file_is_read(tree, toml_file):
    chain = load(path=toml_file(), environment={}).chains[0]
    assert (chain.treasury, chain.finality.depth) == (tree.treasury, 12)


def test_the_file_is_found_by_argument_then_by_variable_then_beside_us(tree, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for number, name in enumerate(["argument.toml", "variable.toml", "here/lastmile.toml"], start=101):
        (tmp_path / name).write_text(tree.toml.replace("8453", str(number)))
    environment = {"LASTMILE_CONFIG": str(tmp_path / "variable.toml")}
    assert load(path=tmp_path / "argument.toml", environment=environment).chains[0].chain_id == 101
    assert load(path=None, environment=environment).chains[0].chain_id == 102
    assert load(path=None, environment={}).chains[0].chain_id == 103


def test_without_a_file_the_environment_alone_will_do(tree, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    environment = {f"LASTMILE_{name.upper()}": json.dumps(value) for name, value in tree.good.items()}
    assert load(path=None, environment=environment) == parse(tree=tree.good)


def test_without_a_file_the_first_line_says_so(complaints, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert complaints()[:2] == [
        "lastmile.toml: there is none here and LASTMILE_CONFIG is not set; write one as gateway/lastmile.example.toml shows",
        "server: is missing; give a [server] table",
    ]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"[server]\nport = \n", "is not TOML: Invalid value (at line 2, column 8)"),
        (b"[server]\n[server]\n", "is not TOML: Cannot declare ('server',) twice (at line 2, column 8)"),
        (b"a = '\xff'", "is not UTF-8 text: invalid start byte at byte 5; save it as UTF-8"),
        (b"a = " + 100_000 * b"[", "tables or lists are nested too deeply; three levels are enough"),
        (b".".join([b"a"] * 5000) + b"=1", "tables or lists are nested too deeply; three levels are enough"),
        (None, "cannot be read: No such file or directory; give the path of a TOML file"),
    ],
    ids=["syntax", "twice", "latin", "brackets", "dots", "gone"],
)
def test_a_file_that_cannot_be_read_is_told_by_name_and_line(complaints, tmp_path, content, sentence):
    path = tmp_path / "lastmile.toml"
    if content is not None:
        path.write_bytes(content)
    assert complaints(path=path) == [f"{path}: {sentence}"]


def test_a_byte_order_mark_is_no_error(tree, toml_file):
    assert load(path=toml_file("\ufeff" + tree.toml), environment={}).chains[0].name == "base"


@pytest.mark.parametrize(
    ("variables", "reads"),
    [
        ({"SERVER__PORT": "9000"}, lambda s: s.server.port == 9000),
        ({"CHAINS__0__QUORUM": "1"}, lambda s: s.chains[0].quorum == 1),
        ({"CHAINS__0__POLL_S": "0.25"}, lambda s: s.chains[0].poll_s == 0.25),
        (
            {"CHAINS__0__RPC": '["http://a.example", "http://b.example"]'},
            lambda s: s.chains[0].rpc[0] == "http://a.example/",
        ),
        (
            {"CHAINS__0__RPC__1": "http://b.example"},
            lambda s: s.chains[0].rpc == ("https://one.example/", "http://b.example/"),
        ),
        ({"CHAINS__0__RPC__2": "http://c.example"}, lambda s: len(s.chains[0].rpc) == 3),
        ({"CHAINS__0__FINALITY": '{"tag": "finalized"}'}, lambda s: s.chains[0].finality.tag == "finalized"),
        ({"DATABASE__URL": "postgresql://u:p@h/d"}, lambda s: s.database.url.get_secret_value() == "postgresql://u:p@h/d"),
        ({"ADAPTERS__MPESA__CONSUMER_SECRET": "[1]"}, lambda s: s.adapters["mpesa"].settings["consumer_secret"] == "[1]"),
        ({"ADAPTERS__MPESA__NOTE": "[not json"}, lambda s: s.adapters["mpesa"].settings["note"] == "[not json"),
        ({"ADAPTERS__BANK__KIND": "stripe"}, lambda s: s.adapters["bank"].kind == "stripe"),
        ({"CONFIG": "", "DATA": "/data"}, lambda s: s.server.port == 8000),
    ],
    ids=lambda case: next(iter(case)) if isinstance(case, dict) else "",
)
def test_the_environment_stands_over_the_file(toml_file, variables, reads):
    environment = {"PATH": "/bin", **{f"LASTMILE_{name}": value for name, value in variables.items()}}
    assert reads(load(path=toml_file(), environment=environment))


def test_a_variable_changes_nothing_beside_its_key(toml_file):
    before = load(path=toml_file(), environment={})
    after = load(path=toml_file(), environment={"LASTMILE_ADAPTERS__MPESA__PIN": "1", "LASTMILE_CHAINS__0__QUORUM": "1"})
    assert after.adapters["mpesa"].settings == {"short_code": "600992", "pin": "1"}
    assert after.chains[0].model_copy(update={"quorum": 2}) == before.chains[0]


def test_list_entries_are_taken_in_the_order_of_their_numbers(toml_file):
    names = {f"LASTMILE_PRICING__SOURCES__{n}__NAME": f"s{n}" for n in range(1, 12)}
    kinds = {f"LASTMILE_PRICING__SOURCES__{n}__KIND": "file" for n in range(1, 12)}
    loaded = load(path=toml_file(), environment={**names, **kinds})
    assert [source.name for source in loaded.pricing.sources] == ["desk", *names.values()]


def test_a_number_may_be_a_key_of_an_adapters_table(tree, toml_file):
    path = toml_file(tree.toml + 'codes = { 2001 = "wrong initiator" }')
    loaded = load(path=path, environment={"LASTMILE_ADAPTERS__MPESA__CODES__2001": "changed"})
    assert loaded.adapters["mpesa"].settings["codes"] == {"2001": "changed"}


@pytest.mark.parametrize(
    ("variable", "value", "line"),
    [
        ("SERVER__PROT", "1", 'server.prot (LASTMILE_SERVER__PROT): unknown key; did you mean "port"?'),
        ("SEVER__PORT", "1", 'sever (LASTMILE_SEVER__PORT): unknown key; did you mean "server"?'),
        (
            "PORT",
            "1",
            "port (LASTMILE_PORT): unknown key; known are server, database, chains, corridors, pricing, payouts, agents, treasury, tariffs, routing, experience, floats, adapters",
        ),
        ("SERVER__PORT", "x", 'server.port (LASTMILE_SERVER__PORT): "x" is wrong; give a port from 1 to 65535'),
        ("SERVER__PORT__X", "1", "server.port (LASTMILE_SERVER__PORT__X): a table is wrong; give a port from 1 to 65535"),
        ("SERVER__PORT", " ", "server.port (LASTMILE_SERVER__PORT): is empty; give a value or don't set the variable"),
        (
            "CHAINS__0__QUORUM",
            "3",
            "chains[0].quorum (LASTMILE_CHAINS__0__QUORUM): 3 is more than the 2 rpc urls listed; give at most 2",
        ),
        (
            "CHAINS__2__NAME",
            "x",
            "chains[2].name (LASTMILE_CHAINS__2__NAME): there is no entry 1 before it; the next free number is 1",
        ),
        (
            "SERVER",
            '{"public_url": "https://pay.example.org", "prot": 1}',
            'server.prot (LASTMILE_SERVER): unknown key; did you mean "port"?',
        ),
        (
            "CHAINS__0__RPC",
            "CANARY",
            'chains[0].rpc (LASTMILE_CHAINS__0__RPC): the value is wrong; give a list of http addresses of nodes, as in ["https://one.example", "https://two.example"]',
        ),
        (
            "ADAPTERS__MPESA__PIN__FILE",
            "/nowhere/pin",
            "adapters.mpesa.pin (LASTMILE_ADAPTERS__MPESA__PIN__FILE): cannot use the file '/nowhere/pin': No such file or directory; give the path of a file that holds the value",
        ),
    ],
)
def test_a_mistake_in_the_environment_names_the_variable(toml_file, complaints, variable, value, line):
    assert complaints(path=toml_file(), environment={f"LASTMILE_{variable}": value}) == [line]


def test_the_example_loads_once_the_operators_own_values_are_given(tree, complaints):
    own = {
        "LASTMILE_CHAINS__0__TREASURY": tree.treasury,
        "LASTMILE_PRICING__SOURCES__0__APP_ID": "app",
        "LASTMILE_ADAPTERS__MPESA__CERTIFICATE": "pem",
        "LASTMILE_ADAPTERS__MPESA__CONSUMER_KEY": "key",
    }
    example = ROOT / "gateway" / "lastmile.example.toml"
    assert load(path=example, environment=own).corridors[0].asset == Asset("KES", 2)
    places = [line.partition(":")[0] for line in complaints(path=example)]
    assert places == ["adapters.mpesa.certificate", "chains[0].treasury"]


def test_the_data_folder_is_given_or_named_or_the_platforms(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    assert data_folder(given=Path("given"), environment={"LASTMILE_DATA": "/named"}) == tmp_path / "given"
    assert data_folder(given=None, environment={"LASTMILE_DATA": "/named"}) == Path("/named")
    assert data_folder(given=None, environment={}).name == "lastmile"


def test_importing_the_configuration_brings_nothing_heavy():
    code = "import sys, gateway.config; print([m for m in ('web3', 'eth_utils', 'sqlalchemy', 'httpx') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"
