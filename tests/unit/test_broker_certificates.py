"""The local authority and the broker's certificate: made once, renewed in time, keys for nobody else."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from exchange.broker.certificates import AUTHORITY_DAYS, BROKER_DAYS, RENEW_DAYS, Certificates

NOW = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    made = Certificates(tmp_path / "tls", "exchange.broker")
    assert made.renew(NOW)
    return made


def shown(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_the_broker_is_vouched_for(certificates: Certificates) -> None:
    authority, broker = shown(certificates.authority), shown(certificates.broker)
    broker.verify_directly_issued_by(authority)
    assert [a.value for a in broker.subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == ["exchange.broker"]
    names = broker.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]


def test_keys_are_readable_by_this_user_only(certificates: Certificates) -> None:
    folder = certificates.authority.parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes["authority.key"] == modes["broker.pem"] == 0o600
    assert b"PRIVATE KEY" not in certificates.authority.read_bytes()


def test_what_lasts_is_kept(certificates: Certificates) -> None:
    before = certificates.broker.read_bytes()
    assert not certificates.renew(NOW + timedelta(days=BROKER_DAYS - RENEW_DAYS - 1))
    assert certificates.broker.read_bytes() == before


def test_the_brokers_certificate_is_renewed_by_the_same_authority(certificates: Certificates) -> None:
    authority = certificates.authority.read_bytes()
    later = NOW + timedelta(days=BROKER_DAYS - RENEW_DAYS)
    assert certificates.renew(later)
    assert certificates.authority.read_bytes() == authority
    assert shown(certificates.broker).not_valid_after_utc > later + timedelta(days=RENEW_DAYS)
    shown(certificates.broker).verify_directly_issued_by(shown(certificates.authority))


@pytest.mark.parametrize("lost", [None, "authority.key", "authority.pem"])
def test_an_authority_that_runs_out_or_is_lost_is_made_anew_with_what_it_vouches_for(
    certificates: Certificates, lost: str | None
) -> None:
    before = certificates.authority.read_bytes()
    if lost:
        (certificates.authority.parent / lost).unlink()
    assert certificates.renew(NOW if lost else NOW + timedelta(days=AUTHORITY_DAYS - RENEW_DAYS))
    assert certificates.authority.read_bytes() != before
    shown(certificates.broker).verify_directly_issued_by(shown(certificates.authority))
