"""An address counts as one person's, however it is written."""

from __future__ import annotations

import pytest

from gateway.operators.attempts import _place


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", "unknown"),
        ("testclient", "unknown"),
        ("203.0.113.7, 10.0.0.1", "unknown"),
    ],
)
def test_an_address_stands_for_whoever_holds_it(address, place):
    assert _place(address) == place
