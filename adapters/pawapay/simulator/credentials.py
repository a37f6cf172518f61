"""The simulator's credentials: made at its first start, kept with its state, shown at `/_sim/settings`."""

from __future__ import annotations

import secrets

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from pydantic import BaseModel

from adapters.pawapay.settings import private_key
from gateway.railsim import Desk

KEY_ID = "HTTP_EC_P256_KEY:1"
OUR_KEY_ID = "LASTMILE:1"


class Credentials(BaseModel):
    """pawaPay's keys for callbacks, and what a merchant has."""

    api_token: str
    callback_key: str
    """pawaPay's private key."""
    forger_key: str
    """Somebody else's, who calls it by the same id."""
    signing_key: str
    """The merchant's private key."""

    @property
    def callback_public(self) -> str:
        """The public key of callbacks, as PEM."""
        return _public(self.callback_key)

    @classmethod
    def of(cls, desk: Desk) -> Credentials:
        """Those on the desk's shelf, or new ones."""
        kept = desk.shelf.get("secrets", "pawapay")
        if kept is not None:
            return cls.model_validate(kept)
        made = cls(api_token=secrets.token_urlsafe(40), callback_key=_key(), forger_key=_key(), signing_key=_key())
        desk.shelf.put(("secrets", "pawapay", made.model_dump()))
        return made


def _key() -> str:
    made = generate_private_key(SECP256R1())
    return made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _public(pem: str) -> str:
    return private_key(pem).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
