"""Ways to a recipient as documents have them: an account stands in the field of its method."""

from __future__ import annotations

from gateway.api.schemas import WayBody
from gateway.errors import Refusal
from gateway.orders.accounts import BY_PHONE
from gateway.orders.recipients import GivenWay


class WrongAccountField(Refusal):
    """The account is missing, or stands in the field of another method."""

    code = "bad_recipient"

    def __init__(self, wanted: str, *, place: str) -> None:
        super().__init__(f"For this method give {place}.{wanted}, and only that.", field=f"{place}.{wanted}")


def account_given(*, phone: str | None, account: str | None, method: str, place: str) -> str:
    """The account out of the field where its method has it. Raises `WrongAccountField`; `place` is where both stand."""
    mobile = method in BY_PHONE
    given, other = (phone, account) if mobile else (account, phone)
    if given is None or other is not None:
        raise WrongAccountField("phone" if mobile else "account", place=place)
    return given


def way_given(way: WayBody, *, place: str) -> GivenWay:
    """A way out of its document. Raises `WrongAccountField`."""
    account = account_given(phone=way.phone, account=way.account, method=way.method, place=place)
    return GivenWay(way.method, account, way.institution)
