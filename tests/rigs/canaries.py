"""What must not be found: secrets and identifiers of a home folder, and the search for them in what was written."""

from __future__ import annotations

import base64
import re
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from exchange import credentials
from exchange.demo.city.persons import SURNAMES

CONTRACT = Path(__file__).parents[2] / "topics.yaml"
_WORD = re.compile(rb"[0-9A-Za-z]{10,}")
_NUMBER = re.compile(rb"(?=([0-9A-Z]{18}))")
"""Also in the midst of a longer word: in a database one value follows the other without a gap."""
_CHINESE = re.compile("[\u4e00-\u9fff]{3,}")


def secrets(*homes: Path) -> dict[str, list[bytes]]:
    """Every secret of these homes in each form that it could be written in, by the file that holds it."""
    found: dict[str, list[bytes]] = {}
    for home in homes:
        for file in home.glob(f"{credentials.FOLDER}/*.yaml"):
            found[str(file)] = _forms(credentials.load(file).password.encode())
        for file in home.glob("*.key"):
            found[str(file)] = _forms(file.read_bytes())
        for file in home.glob("broker/tls/*"):
            if b"PRIVATE KEY" in (text := file.read_bytes()):
                key = text.partition(b"PRIVATE KEY-----")[2].partition(b"-----END")[0]
                found[str(file)] = [line for line in key.split() if len(line) > 20]
    return found


def _forms(secret: bytes) -> list[bytes]:
    return [secret, secret.hex().encode(), base64.b64encode(secret).rstrip(b"="), repr(secret)[2:-1].encode()]


def identifiers(databases: Path) -> set[bytes]:
    """Everybody's identifiers in the departments' SQLite files: numbers of all kinds, phones, accounts, names."""
    found: set[bytes] = set()
    for file in databases.glob("*.db"):
        with closing(sqlite3.connect(file)) as database:
            for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                database.text_factory = bytes
                for row in database.execute(f'SELECT * FROM "{table}"'):
                    found |= {value for value in row if isinstance(value, bytes) and _identifies(value)}
                database.text_factory = str
    contract = CONTRACT.read_bytes()
    return {value for value in found if value not in contract}


def _identifies(value: bytes) -> bool:
    """Whether somebody is known by the value: a number of ten characters or more, or a name of three or four."""
    if _WORD.fullmatch(value):
        return sum(byte in b"0123456789" for byte in value) >= 8
    with suppress(UnicodeDecodeError):
        text = value.decode()
        return text in _names(text)
    return False


def _names(text: str) -> Iterator[str]:
    for run in _CHINESE.findall(text):
        for length in (3, 4):
            yield from (run[at : at + length] for at in range(len(run) - length + 1) if run[at] in SURNAMES)


def identified(known: set[bytes], text: bytes) -> set[bytes]:
    """The identifiers that stand in the text."""
    found = {word for word in _WORD.findall(text) if word in known}
    found |= {number for number in _NUMBER.findall(text) if number in known}
    return found | {name.encode() for name in _names(text.decode("utf-8", "ignore")) if name.encode() in known}


def leaks(hidden: Mapping[str, list[bytes]], texts: Mapping[str, bytes]) -> list[str]:
    """`<holder> in <place>` for each secret that stands where it was not put."""
    return [
        f"{Path(holder).name} in {place}"
        for place, text in texts.items()
        for holder, forms in hidden.items()
        if place != holder and any(form in text for form in forms)
    ]


@contextmanager
def command_lines() -> Iterator[set[bytes]]:
    """Those of the exchange's and Kafka's processes that run meanwhile, looked at five times a second."""
    found: set[bytes] = set()
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.2):
            for file in Path("/proc").glob("[0-9]*/cmdline"):
                with suppress(OSError):
                    line = file.read_bytes()
                    if b"exchange" in line or b"kafka" in line:
                        found.add(line)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield found
    finally:
        done.set()
        watcher.join()


def open_to_others(folder: Path) -> list[str]:
    """Files and folders in there that other users of the machine can open by their own rights."""
    return [str(path) for path in [folder, *folder.rglob("*")] if path.lstat().st_mode & 0o077]
