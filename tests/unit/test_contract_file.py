"""The contract file is replaced as a whole, and nobody's edit is lost."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from exchange.contract import file as module
from exchange.contract.file import ContractChangedError, ContractUnwritableError, edit


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "topics.yaml"
    path.write_bytes(b"one\n")
    path.chmod(0o640)
    return path


def test_a_change_keeps_mode_and_link_and_leaves_nothing_behind(file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.yaml"
    link.symlink_to(file.name)
    assert edit(link, lambda data: data + b"two\n")
    assert not edit(link, lambda data: data)
    assert file.read_bytes() == b"one\ntwo\n"
    assert link.is_symlink()
    assert file.stat().st_mode & 0o777 == 0o640
    assert sorted(tmp_path.iterdir()) == [link, file]


def test_someone_elses_edit_is_not_lost(file: Path, tmp_path: Path) -> None:
    def slow(data: bytes) -> bytes:
        file.write_bytes(b"theirs\n")
        return data + b"ours\n"

    with pytest.raises(ContractChangedError):
        edit(file, slow)
    assert file.read_bytes() == b"theirs\n"
    assert list(tmp_path.iterdir()) == [file]


def test_commands_take_turns(file: Path) -> None:
    start = threading.Barrier(8)

    def add(number: int) -> None:
        start.wait()
        edit(file, lambda data: data + b"%d\n" % number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(8)))
    assert sorted(file.read_text().split()) == [*map(str, range(8)), "one"]


def test_a_fault_leaves_the_file_as_it_was(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "fsync", full)
    with pytest.raises(ContractUnwritableError, match="No space left"):
        edit(file, lambda data: data + b"two\n")
    assert file.read_bytes() == b"one\n"
    assert os.listdir(tmp_path) == [file.name]
