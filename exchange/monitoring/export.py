"""Writes dashboards, alert rules and an example configuration of Prometheus into a folder."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib.resources import files as package_files
from pathlib import Path

from exchange import private
from exchange.errors import ConfigError
from exchange.monitoring.dashboards import DASHBOARDS
from exchange.monitoring.grafana import RUNBOOKS, as_json

_BRACES = re.compile(r"\b(up|exchange_\w+){(.*?)}")
_MATCHER = r'[a-zA-Z_]\w*\s*(?:=~|!~|!=|=)\s*"[^"\\\n]*"'
_MATCHERS = re.compile(rf"{_MATCHER}(?:\s*,\s*{_MATCHER})*")
_ADDRESS = re.compile(r"https?://[^\s#\"'{}\\]+")


class SelectorError(ConfigError):
    """The selector of the daemons' series is not a list of label matchers."""

    code = "monitoring-selector"
    remedy = 'give label matchers, as job="exchange"'


class RunbooksError(ConfigError):
    """The address of the runbooks is not valid."""

    code = "monitoring-runbooks"
    remedy = "begin with https:// and leave out what follows a #"


class ExportError(ConfigError):
    """The folder cannot be written, or has files that someone has changed."""

    code = "monitoring-export"
    remedy = "export to another folder and compare, or overwrite with --force"


def contents(selector: str = "", runbooks: str = RUNBOOKS) -> dict[str, str]:
    """The text of every file, by its path in the folder.

    `selector`: label matchers by which the rules select the daemons' series; without it, they take every series with
    the right name, and the job `exchange` for `up`. `runbooks`: the address of docs/monitoring.md, to which alerts and
    panels link. Raises SelectorError or RunbooksError if they are not valid.
    """
    if selector and not _MATCHERS.fullmatch(selector):
        raise SelectorError(f"{selector!r} does not select series")
    if runbooks != RUNBOOKS and not _ADDRESS.fullmatch(runbooks):
        raise RunbooksError(f"{runbooks!r} is not the address of a page")
    made = {f"dashboards/{one.name}.json": json.dumps(as_json(one), indent=2) + "\n" for one in DASHBOARDS}
    made["rules/alerts.yml"] = _selecting(_packaged("alerts.yml"), selector)
    made["prometheus.example.yml"] = _packaged("prometheus.example.yml")
    return {path: text.replace(f"{RUNBOOKS}#", f"{runbooks}#") for path, text in made.items()}


def export(folder: Path, texts: dict[str, str], *, force: bool) -> list[Path]:
    """Write the files that do not exist yet, and return them. If run again, it has nothing to do.

    Raises ExportError, before anything is written, if a file exists with other content (unless `force`), or if the
    folder cannot be written.
    """
    wanted = {folder / path: text.encode() for path, text in texts.items()}
    try:
        differing = [path for path, data in wanted.items() if path.exists() and path.read_bytes() != data]
        if differing and not force:
            more = f" and {len(differing) - 1} more" if len(differing) > 1 else ""
            raise ExportError(f"{differing[0]}{more}: there already, with another content")
        return list(_write({path: data for path, data in wanted.items() if path in differing or not path.exists()}))
    except OSError as error:
        raise ExportError(
            f"{error.filename or folder} cannot be written: {error.strerror}", remedy="name a folder that can"
        ) from error


def _write(wanted: dict[Path, bytes]) -> Iterator[Path]:
    """Write each file atomically: Grafana and Prometheus may be reading the folder."""
    for path, data in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        private.write(path, data, 0o666)
        yield path


def _selecting(rules: str, selector: str) -> str:
    """Put the selector between the braces of every metric that has some; for `up`, it replaces what is there.

    >>> _selecting('up{job="exchange"} or exchange_a{b="c"} or exchange_d{} or exchange_e', 'x="y"')
    'up{x="y"} or exchange_a{x="y",b="c"} or exchange_d{x="y"} or exchange_e'
    """
    if not selector:
        return rules

    def select(found: re.Match[str]) -> str:
        name, own = found.groups()
        return f"{name}{{{selector}{',' + own if own and name != 'up' else ''}}}"

    return _BRACES.sub(select, rules)


def _packaged(name: str) -> str:
    return (package_files("exchange.monitoring") / name).read_text("utf-8")
