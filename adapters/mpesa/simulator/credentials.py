"""The simulator's credentials: made at its first start, kept with its state, shown at `/_sim/settings`."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import NameOID
from pydantic import BaseModel

from gateway.railsim import Desk


class Credentials(BaseModel):
    """What a merchant would have from Safaricom, and the key that opens his SecurityCredential."""

    consumer_key: str
    consumer_secret: str
    initiator_name: str
    initiator_password: str
    short_code: str
    certificate: str
    private_key: str

    def key(self) -> rsa.RSAPrivateKey:
        """The private key that belongs to the certificate."""
        key = load_pem_private_key(self.private_key.encode(), password=None)
        assert isinstance(key, rsa.RSAPrivateKey)
        return key

    @classmethod
    def of(cls, desk: Desk) -> Credentials:
        """Those on the desk's shelf, or new ones."""
        kept = desk.shelf.get("secrets", "mpesa")
        if kept is not None:
            return cls.model_validate(kept)
        made = cls._make(now=desk.clock())
        desk.shelf.put(("secrets", "mpesa", made.model_dump()))
        return made

    @classmethod
    def _make(cls, *, now: datetime) -> Credentials:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        return cls(
            consumer_key=secrets.token_urlsafe(24),
            consumer_secret=secrets.token_urlsafe(24),
            initiator_name="lastmile",
            initiator_password=secrets.token_urlsafe(12) + "#&%$",
            short_code="600992",
            certificate=_certificate(key, now=now),
            private_key=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        )


def _certificate(key: rsa.RSAPrivateKey, *, now: datetime) -> str:
    """A self-signed certificate that has run out, as those that Safaricom publishes have."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Lastmile M-PESA simulator")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=400))
        .not_valid_after(now - timedelta(days=35))
    )
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()
