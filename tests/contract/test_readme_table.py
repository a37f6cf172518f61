"""README's table of rails is what the adapters declare."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.commands import rails_table
from gateway.money import Asset, Money
from gateway.offramp import Capabilities, Corridor, Method, Resend

README = Path(__file__).parents[2] / "README.md"
KES, UGX = Asset("KES", 2), Asset("UGX", 0)


def corridor(asset, least, most, country="KE"):
    return Corridor(
        country=country,
        method=Method.MOBILE_MONEY,
        asset=asset,
        least=Money(least, asset),
        most=Money(most, asset),
        step=Money(1, asset),
    )


class Declares:
    def __init__(self, **facts):
        self.capabilities = Capabilities(
            **{
                "name": "blue",
                "corridors": (corridor(KES, 50, 250_000_00),),
                "resend": Resend.DEDUPED,
                "settles_within": timedelta(minutes=90),
                "resend_within": timedelta(days=1),
                **facts,
            }
        )


class Calls(Declares):
    def read_callback(self, request): ...

    def callback_answer(self): ...


def test_readme_shows_the_table_that_the_adapters_make():
    shown = re.search(r"<!-- rails -->\n(.*?)\n<!-- /rails -->", README.read_text(), re.DOTALL)
    if shown is None:
        pytest.skip("README has no markers <!-- rails --> and <!-- /rails -->")
    assert shown.group(1).strip() == rails_table.rails_table(), "put there what `lastmile rails table` prints"


def test_a_row_says_what_a_rail_declares():
    assert rails_table._row(Declares()) == (
        "`blue`",
        "KE",
        "mobile money",
        "0.50 to 250,000 KES",
        "pays once within 1 d",
        "90 min",
        "none: it is asked",
    )


def test_a_row_of_many_corridors_says_the_widest_limits_of_each_currency_and_counts_the_rest():
    ways = [corridor(KES, 100, 200), corridor(KES, 50, 150, "UG"), corridor(UGX, 500, 5_000_000, "UG")]
    ways += [corridor(Asset(code, 2), 100, 200, "GH") for code in ("GHS", "ZMW", "NGN", "ZAR")]
    row = rails_table._row(Declares(corridors=tuple(ways), resend=Resend.FINDABLE))
    assert row[1] == "GH, KE, UG"
    assert row[3] == "0.50 to 2 KES; 500 to 5,000,000 UGX; 1 to 2 GHS; 1 to 2 ZMW; and 2 more currencies"
    assert row[4] == "never sent twice: found by our id"


@pytest.mark.parametrize(("proof", "said"), [(True, "signed: trusted"), (False, "make us ask")])
def test_a_row_says_how_far_callbacks_are_trusted(proof, said):
    assert rails_table._row(Calls(callbacks_are_proof=proof))[-1] == said
