from __future__ import annotations

import json
import os
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config import ConfigError, load, parse

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates()
telling = st.sampled_from(
    ["KES", "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913", "1.5", "base", "http://a", "http://[", "1e5"]
)
keys = st.text() | st.sampled_from(["file", "kind", "name", "tag", "__class__", "model_config"])
values = st.recursive(
    scalars | telling,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)
places = st.sampled_from(
    [
        *[
            "server",
            "server.public_url",
            "database",
            "adapters",
            "adapters.mpesa",
            "adapters.mpesa.kind",
            "adapters.mpesa.x",
        ],
        *["chains", "chains.0", "chains.0.rpc", "chains.0.quorum", "chains.0.finality", "chains.0.treasury"],
        *["chains.0.tokens", "chains.0.tokens.0.least", "pricing", "pricing.sources", "pricing.sources.0"],
        *["corridors.0", "corridors.0.currency", "corridors.0.min", "corridors.0.methods", "pricing.exposure_cap"],
    ]
)
names = st.lists(
    st.sampled_from(["CHAINS", "0", "1", "RPC", "ADAPTERS", "MPESA", "FILE", "SERVER", "PORT", "X", ""]), max_size=5
)
texts = values.map(lambda value: json.dumps(value, default=str)) | st.text()


@settings(deadline=None)
@given(place=places, value=values)
def test_a_strange_value_is_taken_or_refused_in_one_line_per_problem(tree, place, value):
    try:
        parse(tree=tree.changed(place, value))
    except ConfigError as caught:
        error = caught
    else:
        return
    assert error.problems
    assert len(str(error).splitlines()) == len(error.problems)


@settings(deadline=None)
@given(
    strange=st.dictionaries(st.sampled_from(["server", "chains", "corridors", "pricing", "adapters"]) | st.text(), values)
)
def test_a_strange_tree_is_refused(strange):
    with pytest.raises(ConfigError):
        parse(tree=strange)


@settings(deadline=None)
@given(variables=st.dictionaries(names.map("__".join), texts, min_size=1, max_size=4))
def test_a_strange_environment_is_refused(variables):
    environment = {f"LASTMILE_{name}": value for name, value in variables.items()} | {"LASTMILE_CONFIG": os.devnull}
    with pytest.raises(ConfigError):
        load(path=None, environment=environment)


@settings(deadline=None)
@given(text=st.text(alphabet=st.sampled_from("[]{}=.\"'#\n\\abc 0x_-:T")) | st.text())
def test_a_strange_file_is_refused(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("strange") / "lastmile.toml"
    with suppress(UnicodeEncodeError):
        path.write_text(text)
    with pytest.raises(ConfigError):
        load(path=path, environment={})
