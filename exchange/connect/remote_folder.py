"""A folder on an SFTP server or in an S3 bucket: what is in it, and single files from there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from exchange.connect.config import Drop, Remote
from exchange.connect.database import Paths
from exchange.connect.extras import extra
from exchange.errors import ConfigError, ExchangeError, TransientError

CONNECT_S, ALIVE_S, READ_S = 20, 15, 60
MAX_SECRET_BYTES = 64 << 10
# What only a person can mend, by the names of the libraries' errors.
_CAUSES = {
    "FileNotFoundError": ("there is no such folder or bucket", "correct `folder`, or create it"),
    "PermissionError": ("the login is refused, or may not read there", "correct the login, or its rights there"),
    "HostKeyNotVerifiable": ("the server's host key is not in `known_hosts`", "ask the server's owner for its key"),
    "KeyImportError": ("`key_file` is not a private key without passphrase", "make one with ssh-keygen"),
}


class RemoteConfigError(ConfigError):
    """A remote folder cannot be used as it is described."""

    code = "remote-config"
    remedy = "correct `folder` and `remote` in connector.yaml"


class RemoteUnavailableError(TransientError):
    """The server of a remote folder does not answer for now."""

    code = "remote-unavailable"
    remedy = "see that the server runs and can be reached; the connector tries again by itself"


class FileVersion(NamedTuple):
    """What tells contents of a remote file apart: size in bytes, and the time of its last change, or its ETag."""

    size: int
    stamp: str


class RemoteFolder:
    """Reads the folder that `drop` names; connects when it is first asked. Raises RemoteConfigError if it never can.

    `is_atomic`: a file appears there whole, as in S3.
    """

    def __init__(self, drop: Drop, paths: Paths) -> None:
        assert drop.remote is not None
        self.url = drop.folder
        self._remote = drop.remote
        self._paths = paths
        self._parts = urlsplit(drop.folder)
        self.is_atomic = self._parts.scheme == "s3"
        self._path = unquote(self._parts.path)
        if self.is_atomic:
            self._path = f"{self._parts.netloc}{self._path}"
        self._path = self._path.rstrip("/")
        self._made: Any = None
        self._s3: Any = extra("s3fs", "remote") if self.is_atomic else None
        self._ssh: Any = None if self.is_atomic else extra("sshfs", "remote")
        self._login = self._s3_login() if self.is_atomic else self._ssh_login()

    def files(self) -> dict[str, FileVersion]:
        """The plain files that are there now."""
        with self._translated():
            try:
                found = self._system.ls(self._path, detail=True)
            except FileNotFoundError:
                if not self.is_atomic:
                    raise
                found = []  # in S3 there is no folder without files
                self._system.call_s3("head_bucket", Bucket=self._parts.netloc)
        there = {str(file["name"]).rpartition("/")[2]: file for file in found if file["type"] == "file"}
        return {name: _version(file) for name, file in there.items() if name}

    def fetch(self, name: str, target: Path) -> FileVersion:
        """Copy a file, and return which version is there after that."""
        with self._translated():
            self._system.get_file(f"{self._path}/{name}", str(target))
            self._system.invalidate_cache()
            return _version(self._system.info(f"{self._path}/{name}"))

    def remove(self, name: str) -> None:
        """Delete a file there."""
        with self._translated():
            self._system.rm_file(f"{self._path}/{name}")

    @property
    def _system(self) -> Any:
        if self._made is None:
            if self.is_atomic:
                self._made = self._s3.S3FileSystem(skip_instance_cache=True, use_listings_cache=False, **self._login)
            else:
                self._made = self._ssh.SSHFileSystem(self._parts.hostname, skip_instance_cache=True, **self._login)
        return self._made

    def _s3_login(self) -> dict[str, Any]:
        limits = {"connect_timeout": CONNECT_S, "read_timeout": READ_S}
        assert self._remote.secret_file is not None
        secret = secret_of(self._remote.secret_file, self._paths)
        endpoint = {"endpoint_url": self._remote.endpoint} if self._remote.endpoint else {}
        return {"key": self._remote.key_id, "secret": secret, "config_kwargs": limits, **endpoint}

    def _ssh_login(self) -> dict[str, Any]:
        known = self._paths.path(self._remote.known_hosts or "")
        if not known.is_file():
            raise RemoteConfigError(
                f"there is no file {known}", remedy="write the server's host key into `known_hosts`"
            )
        login: dict[str, Any] = {"known_hosts": str(known), "client_keys": None}
        if self._remote.key_file:
            secret_of(self._remote.key_file, self._paths)
            login["client_keys"] = [str(self._paths.path(self._remote.key_file))]
        if self._remote.password_file:
            login["password"] = secret_of(self._remote.password_file, self._paths)
        # Nothing comes from the user's own ~/.ssh, and no agent is asked.
        login |= {"config": None, "agent_path": None, "connect_timeout": CONNECT_S, "login_timeout": CONNECT_S}
        login |= {"keepalive_interval": ALIVE_S}
        if self._parts.username:
            login["username"] = unquote(self._parts.username)
        return login | ({"port": self._parts.port} if self._parts.port else {})

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except ExchangeError:
            raise
        except Exception as error:
            self._made = None  # it connects anew
            kind = type(error).__name__
            if kind in _CAUSES:
                cause, remedy = _CAUSES[kind]
                raise RemoteConfigError(f"{self.url}: {cause}", remedy=remedy) from error
            why = error.strerror if isinstance(error, OSError) and error.strerror else kind
            raise RemoteUnavailableError(f"{self.url}: {why}") from error


def _version(file: Any) -> FileVersion:
    tag = file.get("ETag")
    return FileVersion(int(file["size"]), str(tag) if tag else f"{file['mtime'].timestamp():.6f}")


def secret_of(name: str, paths: Paths) -> str:
    """The first line of a file that only its owner may read; RemoteConfigError if there is none, or others may."""
    path = paths.path(name)
    try:
        with path.open(encoding="utf-8") as file:
            if path.stat().st_mode & 0o077:
                raise RemoteConfigError(f"{path}: others may read it", remedy=f"chmod 600 {path}")
            return file.read(MAX_SECRET_BYTES).partition("\n")[0].strip()
    except (OSError, ValueError) as error:
        raise RemoteConfigError(f"{path} cannot be read", remedy="check its path and permissions") from error


def credential_files(remote: Remote) -> list[str]:
    """The files that `remote` names."""
    named = (remote.key_file, remote.password_file, remote.secret_file, remote.known_hosts)
    return [name for name in named if name]
