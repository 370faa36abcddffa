"""Real servers with folders: OpenSSH's sshd for SFTP, moto's server for S3. A missing one fails the tests."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from tests.rigs.brokers import free_port
from tests.rigs.plain import wait_until

KEY_ID, SECRET = "reader", "a secret"


class Sftp:
    """An sshd for this user with a key; its files are in `there`."""

    def __init__(self, folder: Path) -> None:
        self.there = folder / "there"
        self.there.mkdir()
        self._folder = folder
        self._port = free_port()
        for name in ("host", "client"):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
            subprocess.run(command, check=True)
        (folder / "authorized").write_bytes((folder / "client.pub").read_bytes())
        self.known_hosts = folder / "known_hosts"
        self.known_hosts.write_text(f"[127.0.0.1]:{self._port} {(folder / 'host.pub').read_text()}")
        self.key = folder / "client"
        self._settings = [
            f"Port={self._port}", "ListenAddress=127.0.0.1", f"HostKey={folder / 'host'}", "PidFile=none", "UsePAM=no",
            f"AuthorizedKeysFile={folder / 'authorized'}", "StrictModes=no", "PasswordAuthentication=no",
            "PermitRootLogin=yes", "Subsystem=sftp internal-sftp",
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"sftp://{getpass.getuser()}@127.0.0.1:{self._port}{self.there}"

    def config(self, **more: Any) -> dict[str, Any]:
        """The keys of a drop that reads from here."""
        remote = {"key_file": str(self.key), "known_hosts": str(self.known_hosts), **more.pop("remote", {})}
        return {"folder": self.url, "remote": remote, "settle_s": 0, **more}

    def put(self, name: str, data: bytes) -> None:
        """Write a file under a hidden name, and rename it."""
        part = self.there / ".part"
        part.write_bytes(data)
        part.rename(self.there / name)

    def names(self) -> list[str]:
        return sorted(path.name for path in self.there.iterdir())

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        program = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
        if program is None:
            pytest.fail("sshd is not there. Remedy: install it (Debian: apt-get install openssh-server)", pytrace=False)
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # where it locks itself up before the login
        options = [part for setting in self._settings for part in ("-o", setting)]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen([program, "-D", "-e", "-f", "/dev/null", *options], stderr=log)
        wait_until(self._answers, "sshd answers")

    def stop(self) -> None:
        """End the server, and what it serves."""
        assert self._process is not None
        subprocess.run(["pkill", "-P", str(self._process.pid)], check=False)
        self._process.kill()
        self._process.wait()

    def _answers(self) -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self._port)) == 0


class S3:
    """A bucket on moto's server."""

    def __init__(self, folder: Path) -> None:
        self._port = free_port()
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=self._port, verbose=False)
        self.secret = folder / "secret"
        self.secret.write_text(f"{SECRET}\n")
        self.secret.chmod(0o600)
        self.endpoint = f"http://127.0.0.1:{self._port}"

    def config(self, **more: Any) -> dict[str, Any]:
        """The keys of a drop that reads from here."""
        remote = {
            "key_id": KEY_ID,
            "secret_file": str(self.secret),
            "endpoint": self.endpoint,
            **more.pop("remote", {}),
        }
        return {"folder": "s3://bucket/there", "remote": remote, **more}

    def put(self, name: str, data: bytes) -> None:
        self._client.put_object(Bucket="bucket", Key=f"there/{name}", Body=data)

    def names(self) -> list[str]:
        found = self._client.list_objects_v2(Bucket="bucket").get("Contents", [])
        return sorted(file["Key"].removeprefix("there/") for file in found)

    def start(self) -> None:
        """Start the server with an empty bucket."""
        self._server.start()
        login = {"aws_access_key_id": KEY_ID, "aws_secret_access_key": SECRET, "region_name": "us-east-1"}
        self._client = boto3.client("s3", endpoint_url=self.endpoint, **login)
        self._client.create_bucket(Bucket=f"b{time.time_ns()}")  # until it answers; boto3 tries again
        self._client.create_bucket(Bucket="bucket")

    def stop(self) -> None:
        self._server.stop()


@contextmanager
def running(kind: type[Sftp] | type[S3], folder: Path) -> Iterator[Any]:
    """A server of that kind."""
    made = kind(folder)
    made.start()
    try:
        yield made
    finally:
        made.stop()
