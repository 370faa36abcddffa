"""Finds Java, and gets the jars for the local broker."""

from __future__ import annotations

import fcntl
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from exchange.broker.errors import JavaError, MavenError

MINIMUM_JAVA = 17
_GET_JAVA = (
    f"install Java {MINIMUM_JAVA} or newer (Debian: apt-get install default-jre-headless; macOS: brew install openjdk) "
    "or set EXCHANGE_JAVA to its path"
)
_GET_MAVEN = (
    "install Maven (Debian: apt-get install maven; macOS: brew install maven) or set EXCHANGE_MAVEN to its path"
)


def java_version(java: str) -> int:
    """The feature version of `java`, at least 17; raises `JavaError` if it is missing or older."""
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise JavaError(f"Java is not there: {java!r} does not run", remedy=_GET_JAVA) from error
    found = re.search(r'version "(?:1\.)?(\d+)', answer.stderr + answer.stdout)
    if answer.returncode != 0 or not found:
        raise JavaError(f"{java!r} does not say which Java it is", remedy=_GET_JAVA)
    version = int(found[1])
    if version < MINIMUM_JAVA:
        raise JavaError(f"Java {version} is too old: Kafka needs {MINIMUM_JAVA} or newer", remedy=_GET_JAVA)
    return version


def resolve(folder: Path, maven: str, progress: Callable[[str], None]) -> Path:
    """Fill `folder` with the jars of our pom.xml, unless it already holds exactly these; return it.

    The folder appears whole or not at all, so a broken download leaves nothing behind. Raises `MavenError` if Maven is
    missing or cannot fetch them.
    """
    pom = files("exchange.broker").joinpath("pom.xml").read_bytes()
    stamp = folder / "pom.xml"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.parent / "jars.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # if several processes start at once, one of them fetches
        if not (stamp.exists() and stamp.read_bytes() == pom):
            progress("fetching the broker's jars with Maven (43 MB, once)")
            _fetch(folder, pom, maven)
    return folder


def _fetch(folder: Path, pom: bytes, maven: str) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="jars-") as scratch:
        fresh = Path(scratch) / "jars"
        fresh.mkdir()
        (fresh / "pom.xml").write_bytes(pom)
        _copy_dependencies(fresh, maven)
        shutil.rmtree(fresh / "target", ignore_errors=True)
        if folder.exists():
            shutil.rmtree(folder)
        fresh.rename(folder)


def _copy_dependencies(folder: Path, maven: str) -> None:
    command = [
        maven,
        "-B",
        "-q",
        "-f",
        str(folder / "pom.xml"),
        "dependency:copy-dependencies",
        f"-DoutputDirectory={folder}",
    ]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    except OSError as error:
        raise MavenError(f"Maven is not there: {maven!r} does not run", remedy=_GET_MAVEN) from error
    if answer.returncode != 0 or not any(folder.glob("kafka_*.jar")):
        reasons = [line for line in (answer.stdout + answer.stderr).splitlines() if line.startswith("[ERROR]")]
        raise MavenError(
            "Maven could not fetch the broker's jars: "
            + (reasons[0].removeprefix("[ERROR] ") if reasons else "no reason given"),
            remedy="check the network, or name a mirror in ~/.m2/settings.xml, and try again",
        )
