"""What a command does where its standard output or standard error cannot be written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def shell(line: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run a line in which `exchange` is the command."""
    home = {"EXCHANGE_HOME": str(folder / "home"), "EXCHANGE_CONTRACT": str(folder / "topics.yaml")}
    script = f'exchange() {{ "{sys.executable}" -m exchange "$@"; }}\n{line}'
    return subprocess.run(
        ["bash", "-c", script], capture_output=True, env={**os.environ, **home, **environment}, timeout=60, check=False
    )


@pytest.mark.parametrize("command", ["--version", "--help", "completion bash", "schema --help", "validate --help"])
def test_a_full_disk_under_standard_output_is_said_in_a_line(command: str, tmp_path: Path) -> None:
    done = shell(f"exchange {command} > /dev/full", tmp_path)
    assert done.returncode == 75
    assert done.stderr.decode().splitlines() == [
        "error [output]: standard output cannot be written: No space left on device",
        "remedy: make room, or name another place; then run the command again",
    ]


def test_a_closed_standard_output_is_said_in_a_line(tmp_path: Path) -> None:
    done = shell("exchange --version >&-", tmp_path)
    assert done.returncode == 75
    assert b"standard output cannot be written: Bad file descriptor" in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_reader_that_went_away_ends_the_command_quietly(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "exchange", "completion", "bash"],
        stdout=writer, stderr=subprocess.PIPE, cwd=tmp_path, timeout=60, check=False,
    )  # fmt: skip
    os.close(writer)
    assert done.returncode == 141  # not 1, which stands for "does not balance"
    assert done.stderr == b""


@pytest.mark.parametrize("stream", ["2>/dev/full", "2>&-"])
def test_standard_error_stops_nothing(stream: str, tmp_path: Path) -> None:
    done = shell(f"exchange validate {stream}", tmp_path)
    assert done.returncode == 2  # there is no contract
    assert shell(f"exchange --version {stream}", tmp_path).stdout.startswith(b"exchange")


def test_both_streams_may_be_full(tmp_path: Path) -> None:
    assert shell("exchange --version > /dev/full 2>&1", tmp_path).returncode == 75


@pytest.mark.parametrize(
    "encoding",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
)
def test_what_the_encoding_does_not_have_is_an_escape(encoding: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "topics.yaml").write_text("版本: 1\n", encoding="utf-8")
    done = shell("exchange validate", tmp_path, **encoding)
    assert b"Traceback" not in done.stderr
    assert done.returncode in (1, 2)
