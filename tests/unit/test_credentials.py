"""Credential files: whole, readable by their owner only, and silent about what they hold."""

from __future__ import annotations

import stat
import traceback
from pathlib import Path

import pytest

from exchange import credentials
from exchange.bus import Cluster
from exchange.bus.connection import BusUntrustedError
from exchange.credentials import CredentialsError, Security
from exchange.settings import Settings

PASSWORD = "canary-7f3a"


def security(folder: Path, **changes: object) -> Security:
    return Security.model_validate({"username": "tax", "password": PASSWORD, "ca": folder / "ca.pem"} | changes)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "credentials" / "tax.yaml"
    credentials.save(path, security(path.parent))
    assert credentials.load(path) == security(path.parent)
    assert "ca: ca.pem\n" in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [file.name for file in path.parent.iterdir()] == ["tax.yaml"]


def test_an_authority_elsewhere_keeps_its_path(tmp_path: Path) -> None:
    path = tmp_path / "tax.yaml"
    credentials.save(path, security(tmp_path / "elsewhere"))
    assert credentials.load(path).ca == tmp_path / "elsewhere" / "ca.pem"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o644])
def test_a_file_that_others_may_read_or_change_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "tax.yaml"
    credentials.save(path, security(tmp_path))
    path.chmod(mode)
    with pytest.raises(CredentialsError, match=f"chmod 600 {path}"):
        credentials.load(path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"- {PASSWORD}",
        f"username: tax\npassword: [{PASSWORD}]",
        f"username: tax\n{PASSWORD}: 1\npassword: x",
        f"username: tax\npassword: {PASSWORD}\nmechanism: {PASSWORD}",
        f"username: tax\npassword: {PASSWORD}\nprotocol: PLAINTEXT",
        f"username: tax\npassword: '{PASSWORD}",
        f"username: !!python/object/apply:os.system ['{PASSWORD}']",
        f"\x00{PASSWORD}",
        "&a [*a, *a]",
        f"%YAML 1.3\n---\nusername: tax\npassword: {PASSWORD}",
        f'username: tax\npassword: {PASSWORD}\nca: "\\0"',
        "[" * 20_000,
        f"username: tax\npassword: {PASSWORD}\npassword: other",
    ],
)
def test_what_is_no_credential_file_is_refused_without_a_word_of_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "tax.yaml"
    path.touch(0o600)
    path.write_text(text)
    with pytest.raises(CredentialsError) as refused:
        credentials.load(path)
    assert PASSWORD not in "".join(traceback.format_exception(refused.value))


def test_the_password_shows_in_no_representation(tmp_path: Path) -> None:
    assert PASSWORD not in f"{security(tmp_path)!r} {security(tmp_path)} {Cluster('k:1', 'x', security(tmp_path))!r}"


def test_the_named_file_comes_before_the_principals_own(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    assert credentials.find(settings, "tax") is None
    credentials.save(credentials.file_of(tmp_path, "tax"), security(tmp_path))
    other = tmp_path / "other.yaml"
    credentials.save(other, security(tmp_path, username="civil"))
    found = (
        credentials.find(settings, "tax"),
        credentials.find(settings.model_copy(update={"credentials": other}), "tax"),
    )
    assert [one and one.username for one in found] == ["tax", "civil"]


def test_a_named_file_that_is_missing_is_not_passed_over(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError, match="EXCHANGE_CREDENTIALS"):
        credentials.find(Settings(home=tmp_path, credentials=tmp_path / "none.yaml"), "tax")


@pytest.mark.parametrize("name", ["../tax", "a/b", "", ".tax", "tax\n", "税"])
def test_a_principal_is_no_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(CredentialsError, match="is not a principal"):
        credentials.file_of(tmp_path, name)


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_an_authority_that_is_none_is_refused(tmp_path: Path, content: str | None) -> None:
    if content:
        (tmp_path / "ca.pem").write_text(content)
    with pytest.raises(BusUntrustedError, match=r"ca\.pem"):
        Cluster("k:1", "x", security(tmp_path)).config()
