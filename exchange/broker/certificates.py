"""The local broker's own certificate authority, and the certificate by which clients recognise the broker."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from exchange import private

AUTHORITY_DAYS = 3650
BROKER_DAYS = 397
RENEW_DAYS = 30
"""At a start, a certificate that expires sooner than this is made anew."""

_HOSTS = ("127.0.0.1", "::1")


class Certificates:
    """The PEM files of one folder: `authority.*` and `broker.*`; only this user can read the keys.

    `broker.pem` holds the broker's key and certificate. The broker shows it to clients and to itself: without a
    certificate of this authority, nobody reaches its controller or its replicas.
    """

    def __init__(self, folder: Path, principal: str) -> None:
        self._principal = principal
        self._folder = folder
        self._authority_key = folder / "authority.key"
        self.authority = folder / "authority.pem"
        self.broker = folder / "broker.pem"

    def renew(self, now: datetime | None = None) -> bool:
        """Make what is missing or expires within 30 days of `now`; return whether anything was made."""
        now = now or datetime.now(UTC)
        private.folder(self._folder).chmod(0o700)
        renewed = not (self._authority_key.exists() and _lasts(self.authority, now))
        if renewed:
            self._make_authority(now)
        if not renewed and _lasts(self.broker, now):
            return False
        self._make_broker(now)
        return True

    def _make_authority(self, now: datetime) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("exchange local authority")
        builder = (
            _builder(name, name, key, now, AUTHORITY_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        certificate = builder.sign(key, hashes.SHA256())
        private.write(self._authority_key, _private(key))
        private.write(self.authority, certificate.public_bytes(serialization.Encoding.PEM), 0o644)

    def _make_broker(self, now: datetime) -> None:
        loaded = serialization.load_pem_private_key(self._authority_key.read_bytes(), password=None)
        assert isinstance(loaded, ec.EllipticCurvePrivateKey)
        authority = x509.load_pem_x509_certificate(self.authority.read_bytes())
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.DNSName("localhost"), *(x509.IPAddress(ipaddress.ip_address(host)) for host in _HOSTS)]
        purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = (
            _builder(_name(self._principal), authority.subject, key, now, BROKER_DAYS)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(loaded.public_key()), critical=False)
        )
        certificate = builder.sign(loaded, hashes.SHA256())
        private.write(self.broker, _private(key) + certificate.public_bytes(serialization.Encoding.PEM))


def _lasts(path: Path, now: datetime) -> bool:
    if not path.exists():
        return False
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    return certificate.not_valid_after_utc - now > timedelta(days=RENEW_DAYS)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))  # clocks differ a little
        .not_valid_after(now + timedelta(days=days))
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
