"""Parts of one connector that would disturb each other: sources that share a folder, sinks that share a table."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from ipaddress import ip_address
from itertools import combinations
from pathlib import Path

from sqlalchemy.engine import URL

from exchange.connect import database
from exchange.connect.config import Database, SinkConfig, SourceConfig
from exchange.connect.copy_notes import COPIES
from exchange.connect.database import Paths
from exchange.connect.deletions import DELETIONS
from exchange.connect.drop_folder import PLACES, path_of
from exchange.connect.load import FILE, Connector
from exchange.connect.offsets import GAPS, OFFSETS, TOPICS
from exchange.connect.part_secrets import secrets
from exchange.connect.rejects import RejectFile
from exchange.connect.remote_folder import credential_files
from exchange.connect.stuck_rows import STUCK
from exchange.document.problem import Path as Place
from exchange.document.problem import Problem, dotted
from exchange.errors import ConfigError
from exchange.names import inbox_topic

PORTS = {"postgresql": "5432", "mysql": "3306"}
IDENTIFIER_BYTES = 63  # of a PostgreSQL name; PostgreSQL silently cuts off the rest
Identity = tuple[int, int, tuple[str, ...]]


def overlaps(connector: Connector, paths: Paths) -> list[Problem]:
    """Every part that shares what it must have to itself, by line. Reads only the file and asks no database.

    Two sources may read one table, and a source may read the table of a sink, because each has a cursor of its own.
    What cannot be read (a reference, a password file) is ignored here: the part itself refuses it.
    """
    return sorted(_Overlaps(connector, paths).problems())


class _Overlaps:
    def __init__(self, connector: Connector, paths: Paths) -> None:
        self._document, self._config, self._paths = connector.document, connector.config, paths

    def problems(self) -> Iterator[Problem]:
        drops = [(i, s, folder) for i, s in enumerate(self._config.sources) if (folder := self._folder(s))]
        own = list(self._own_files())
        for i, source, folder in drops:
            assert source.drop is not None
            there = {file.name for file in own if identity(file.parent) == identity(folder)}
            if taken := sorted(name for name in there if fnmatchcase(name, source.drop.pattern)):
                message = f"the source would take {', '.join(taken)}, which the connector needs"
                yield self._problem(("sources", i, source.key, "folder"), message, "give the source its own folder")
        for (i, one, folder), (j, two, other) in combinations(drops, 2):
            if _share(folder, other):
                message = f"sources[{i}] ({one.subject}) takes files from there, or keeps its own there"
                yield self._problem(("sources", j, two.key, "folder"), message, "give each source its own folder")
        yield from self._sinks()
        yield from self._files(drops)

    def _files(self, drops: list[tuple[int, SourceConfig, Path]]) -> Iterator[Problem]:
        """Folders of Parquet files that are another sink's or source's, too."""
        taken = {identity(folder): f"sources[{i}] ({source.subject})" for i, source, folder in drops}
        for j, sink in enumerate(self._config.sinks):
            with suppress(ConfigError):
                if sink.parquet is not None:
                    mine, whose = identity(self._paths.path(sink.parquet.folder)), f"sinks[{j}] ({sink.subject})"
                    if (other := taken.setdefault(mine, whose)) != whose:
                        place: Place = ("sinks", j, "parquet", "folder")
                        yield self._problem(place, f"{other} uses this folder, too", "give the sink its own folder")

    def _sinks(self) -> Iterator[Problem]:
        tables = {j: self._table(sink) for j, sink in enumerate(self._config.sinks) if sink.parquet is None}
        for j, table in tables.items():
            place: Place = ("sinks", j, "table" if self._config.sinks[j].table else "subject")
            if table.name.lower() in (OFFSETS, TOPICS, GAPS, DELETIONS, COPIES, STUCK):
                yield self._problem(place, f"{table.name} is the connector's own", "give the sink another `table`")
            for i, other in tables.items():
                if i < j and table.is_the_same_as(other):
                    message = f"sinks[{i}] ({self._config.sinks[i].subject}) fills the table {other.name}, too"
                    remedy = "give each sink a table of its own"
                    if (table.schema is None) != (other.schema is None):
                        remedy += ", or say the schema of both"
                    yield self._problem(place, message, remedy)

    def _problem(self, place: Place, message: str, remedy: str) -> Problem:
        return Problem(self._document.line(place), dotted(place), message, remedy)

    def _folder(self, source: SourceConfig) -> Path | None:
        with suppress(ConfigError):
            return path_of(source, self._paths) if source.drop else None
        return None

    def _own_files(self) -> Iterator[Path]:
        """What must not be taken for data: the file itself, passwords, code, SQLite databases, reject files."""
        yield self._paths.folder / FILE
        parts: tuple[SourceConfig | SinkConfig, ...] = (*self._config.sources, *self._config.sinks)
        for part in parts:
            topic = part.subject
            if isinstance(part, SinkConfig):
                topic = inbox_topic(self._config.department, part.subject)
            yield RejectFile(self._paths.home, topic).path
            for reference in (part.transform, part.python) if isinstance(part, SourceConfig) else ():
                if reference:
                    yield self._paths.folder / reference.partition(":")[0]
            for secret in secrets(part):
                with suppress(ConfigError):
                    yield self._paths.path(secret)
            if isinstance(part, SourceConfig) and part.drop and part.drop.remote:
                with suppress(ConfigError):
                    yield from map(self._paths.path, credential_files(part.drop.remote))
        for chosen in (self._config.database, *(part.database for part in parts)):
            with suppress(ConfigError):
                if chosen and chosen.password_file:
                    yield self._paths.path(chosen.password_file)
                url = self._url(chosen)
                if url and _is_sqlite(url) and url.database:
                    yield Path(url.database)

    def _table(self, sink: SinkConfig) -> _Table:
        schema, _, name = sink.table_name.rpartition(".")
        url = self._url(sink.database or self._config.database) if sink.webhook is None else None
        return _Table(schema or None, name, url)

    def _url(self, chosen: Database | None) -> URL | None:
        if chosen is None:
            return None
        with suppress(ConfigError):
            return database.url(Database(url=chosen.url), self._paths)  # which database it is; without its password
        return None


@dataclass(frozen=True)
class _Table:
    """Where a sink writes. If no schema is given, the database chooses it, so it may be any."""

    schema: str | None
    name: str
    url: URL | None

    def is_the_same_as(self, other: _Table) -> bool:
        if self.url is None or other.url is None:
            return False
        one, two = _spelled(self), _spelled(other)
        if one[1] != two[1] or (one[0] != two[0] and None not in (one[0], two[0])):
            return False
        if _is_sqlite(self.url) or _is_sqlite(other.url):
            files = [identity(Path(url.database or "")) for url in (self.url, other.url) if _is_sqlite(url)]
            return len(files) == 2 and files[0] == files[1]
        if self.url.get_backend_name() != other.url.get_backend_name():
            return False
        return not _databases(self.url).isdisjoint(_databases(other.url))


def _is_sqlite(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"


def _spelled(table: _Table) -> tuple[str | None, str]:
    """Schema and name in the form in which the database compares them."""
    assert table.url is not None
    if _is_sqlite(table.url):
        return table.schema and table.schema.casefold(), table.name.casefold()
    if table.url.get_backend_name() == "mysql":  # a schema is a database; whether case counts, depends on the server
        return (table.schema or table.url.database or "").casefold(), table.name.casefold()
    return table.schema, table.name.encode()[:IDENTIFIER_BYTES].decode(errors="ignore")


def _databases(url: URL) -> set[tuple[str, str, str]]:
    """(address, port, name) of the databases to which the URL leads; "" is this machine, or any name in MySQL."""
    kind = url.get_backend_name()
    arguments = {key: str(value) for key, value in url.get_dialect()().create_connect_args(url)[1].items()}
    hosts = arguments.get("host", "").split(",")
    ports = arguments.get("port", "").split(",")
    name = "" if kind == "mysql" else arguments.get("dbname") or arguments.get("user", "")
    return {
        (address, port or PORTS[kind], name)
        for host, port in zip(hosts, ports if len(ports) == len(hosts) else ports[:1] * len(hosts), strict=True)
        for address in _addresses(host)
    }


def _addresses(host: str) -> set[str]:
    if not host or host.startswith("/"):
        return {""}
    try:
        found = {str(info[4][0]) for info in socket.getaddrinfo(host, None)}
    except OSError:
        return {host.lower()}
    return {"" if ip_address(address.partition("%")[0]).is_loopback else address for address in found}


def _share(one: Path, other: Path) -> bool:
    """Whether two drop folders are the same, or one is inside a folder where the other keeps its files."""
    return _reaches(one, other) or _reaches(other, one)


def _reaches(one: Path, other: Path) -> bool:
    kept = {identity(one / place) for place in PLACES}
    real = Path(os.path.realpath(other))
    return identity(one) == identity(other) or not kept.isdisjoint(identity(p) for p in (real, *real.parents))


def identity(path: Path) -> Identity:
    """What distinguishes a file or folder from all others, however its path is written, even before it exists.

    It is the nearest existing folder around it (device and inode) and the names below that.
    """
    real = Path(os.path.realpath(path))
    for known in (real, *real.parents):
        with suppress(OSError):
            status = known.stat()
            return status.st_dev, status.st_ino, real.relative_to(known).parts
    raise AssertionError("the root is always there")
