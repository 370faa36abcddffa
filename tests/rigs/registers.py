"""An exchange for fault tests whose rows change: two registers in PostgreSQL, and three readers that keep copies.

Each register is a table whose rows are changed, sold (their key changes), deleted and entered again, by SQL in bulk.
The changes of `vehicle` are taken from the log; `household` is polled and swept, and some rows say that they are gone.
"""

from __future__ import annotations

import json
import random
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg

from exchange import credentials, names
from exchange.bus import Cluster
from exchange.connect.cdc.setup import name_of
from tests.rigs.databases import Server
from tests.rigs.expected import masked
from tests.rigs.place import Place
from tests.rigs.town import PSEUDONYM_KEY, credit_code

OWNER = "registry"
PARTITIONS = 4
FIELDS = {"person": "string", "serial": "long", "state": "string", "cents": "long"}
SOURCES: dict[str, dict[str, Any]] = {
    "vehicle": {"cdc": "postgresql"},
    "household": {
        "cursor": {"time": "at", "id": "serial"}, "lookback_s": 20, "poll_s": 0.2, "brake": 1.0,
        "deleted": {"column": "gone", "values": [True]}, "sweep": {"every": "2s"},
    },
}  # fmt: skip
GRANTS: dict[str, dict[str, Any]] = {
    "whole": {"fields": "all"},
    "filtered": {"fields": "all", "where": {"state": {"in": ["normal", "seized"]}}},
    "hidden": {"fields": list(FIELDS), "masks": {"person": "pseudonym"}, "where": {"state": {"in": ["normal"]}}},
}
"""What each reader, a department of that name, gets of both registers."""
GIVEN = {"whole": "true", "filtered": "state IN ('normal', 'seized')", "hidden": "state = 'normal'"}
"""The same as SQL about a register."""
IN_SQLITE = ("filtered",)
"""Readers whose copies are there; the others' are in PostgreSQL."""
_CHANGES = {
    # The shares of the rows that change: half of all changes take a row into a grant, or out of it.
    "flip": (16, "UPDATE {0} SET state = CASE state WHEN 'normal' THEN 'scrapped' ELSE 'normal' END, at = {now}"),
    "seize": (128, "UPDATE {0} SET state = 'seized', at = {now}"),
    "pay": (32, "UPDATE {0} SET cents = cents + 1, at = {now}"),
    "sell": (128, "UPDATE {0} SET person = 'p' || (serial * {any}) % 5000, at = {now}"),
    "gone": (128, "UPDATE {0} SET gone = NOT gone, at = {now}"),
    "delete": (128, "DELETE FROM {0}"),
    "enter": (
        64,
        "INSERT INTO {0} SELECT 'p' || (serial * {any}) % 5000, serial FROM generate_series(1, {rows}) serial",
    ),
}
_USUAL = ("flip", "pay", "sell", "delete", "enter", "seize")


class Registers(Place):
    """A place with a contract, connectors, and all departments' databases; `server` must run when this is made."""

    def __init__(self, folder: Path, cluster: Cluster, server: Server, rows: int) -> None:
        super().__init__(folder, cluster)
        self._server = server
        self._rows = {"vehicle": rows, "household": rows // 4}
        self.changes = 0
        if cluster.security:
            # Each daemon logs in as itself; only commands of the administrator as the administrator.
            del self.environment["EXCHANGE_CREDENTIALS"]
            credentials.save(credentials.file_of(self.home, names.ADMIN_PRINCIPAL), cluster.security)
        self.home.mkdir(exist_ok=True)
        key = self.home / "pseudonym.key"
        key.write_bytes(PSEUDONYM_KEY)
        key.chmod(0o600)
        self._write_contract()
        self._write_connectors()
        self._make_tables()

    def change(self, changes: int, seconds: float, seed: int, stop: threading.Event) -> None:
        """Change rows, evenly over that time, until so many changes of vehicles are committed, or `stop`.

        It goes on when the server is there again after a kill.
        """
        chance, began = random.Random(seed), time.monotonic()
        while self.changes < changes and not stop.is_set():
            try:
                with closing(psycopg.connect(self._address(OWNER), autocommit=True)) as connection:
                    while self.changes < changes and not stop.is_set():
                        self._transaction(connection, chance)
                        stop.wait(began + seconds * self.changes / changes - time.monotonic())
            except psycopg.OperationalError:
                stop.wait(0.2)

    def faults(self) -> dict[str, dict[str, int]]:
        """How each copy differs that is not what its grant gives of the register now."""
        found = {}
        for table in SOURCES:
            for reader in GRANTS:
                due, held = Counter(self._due(table, reader)), Counter(self._held(table, reader))
                if due != held:
                    wrong = {"missing": (due - held).total(), "too many": (held - due).total(), "due": due.total()}
                    found[f"{table} of {reader}"] = wrong
        return found

    def _transaction(self, connection: psycopg.Connection[Any], chance: random.Random) -> None:
        """A few statements, now and then taken back; what is committed is counted."""
        is_polled = chance.random() < 0.1
        table, usual = ("household", (*_USUAL, "gone")) if is_polled else ("vehicle", _USUAL)
        taken_back, done = chance.random() < 0.05, 0
        with connection.transaction(force_rollback=taken_back):
            for name in chance.choices(usual, k=4):
                share, change = _CHANGES[name]
                words = {"any": chance.randrange(1, 5000), "now": "clock_timestamp()", "rows": self._rows[table]}
                statement = f"{change.format(table, **words)} WHERE serial % {share} = {chance.randrange(share)}"
                statement += " ON CONFLICT DO NOTHING" if name == "enter" else ""
                done += connection.execute(statement.encode()).rowcount
        self.changes += 0 if taken_back or is_polled else done

    def _due(self, table: str, reader: str) -> Sequence[tuple[Any, ...]]:
        """The register's rows as the reader's grant gives them, without a line of the exchange's code."""
        query = f"SELECT {', '.join(FIELDS)} FROM {table} WHERE NOT gone AND ({GIVEN[reader]})"
        with closing(psycopg.connect(self._address(OWNER))) as connection:
            rows = connection.execute(query.encode()).fetchall()
        mask = GRANTS[reader].get("masks", {}).get("person")
        return [(masked(mask, person, reader), *rest) for person, *rest in rows]

    def _held(self, table: str, reader: str) -> Sequence[tuple[Any, ...]]:
        """The rows of the reader's table; none if it is not there yet."""
        query = f"SELECT {', '.join(FIELDS)} FROM {table}"
        connect: Any = sqlite3.connect if reader in IN_SQLITE else psycopg.connect
        with closing(connect(self._address(reader))) as connection:
            try:
                return connection.cursor().execute(query).fetchall()  # type: ignore[no-any-return]
            except (psycopg.errors.UndefinedTable, sqlite3.OperationalError):
                return []

    def _address(self, department: str) -> str:
        """As the library of its database takes it."""
        if department in IN_SQLITE:
            return str(self.folder / f"{department}.db")
        return self._server.url(department, "postgresql")

    def _make_tables(self) -> None:
        with closing(psycopg.connect(self._server.url(driver="postgresql"), autocommit=True)) as connection:
            for department in {OWNER, *GRANTS} - set(IN_SQLITE):
                connection.execute(f'CREATE DATABASE "{department}"'.encode())
        with closing(psycopg.connect(self._address(OWNER), autocommit=True)) as connection:
            for table, rows in self._rows.items():
                columns = (
                    "person text, serial bigint UNIQUE, state text DEFAULT 'normal', cents bigint DEFAULT 0, "
                    "gone boolean DEFAULT false, at timestamptz DEFAULT clock_timestamp(), PRIMARY KEY (person, serial)"
                )
                for statement in (
                    f"CREATE TABLE {table} ({columns})",
                    f"CREATE INDEX ON {table} (at, serial)",
                    f"CREATE PUBLICATION {name_of(f'{OWNER}.{table}')} FOR TABLE {table}",
                    f"INSERT INTO {table} SELECT 'p' || n % 5000, n FROM generate_series(1, {rows}) n",
                ):
                    connection.execute(statement.encode())

    def _write_connectors(self) -> None:
        for department in (OWNER, *GRANTS):
            config: dict[str, Any] = {"department": department, "database": self._server.url(department)}
            if department in IN_SQLITE:
                config["database"] = f"sqlite:///{self._address(department)}"
            if department == OWNER:
                config["sources"] = [
                    {"subject": f"{OWNER}.{table}", "table": table, **how} for table, how in SOURCES.items()
                ]
            else:
                config["sinks"] = [{"subject": f"{OWNER}.{table}", "table": table} for table in SOURCES]
            folder = self.folder / "connectors" / department
            folder.mkdir(parents=True)
            (folder / "connector.yaml").write_text(json.dumps(config))

    def _write_contract(self) -> None:
        title = {"zh": "测试", "en": "Test"}
        purpose = {"code": "test", "basis": "Test law, article 1", "text": "Shows what faults do."}
        contract = {
            "version": 1,
            "departments": [
                {"id": id_, "title": title, "credit_code": credit_code(at)} for at, id_ in enumerate((OWNER, *GRANTS))
            ],
            "subjects": [
                {
                    "name": name, "owner": OWNER, "title": title, "schema": "row.avsc", "share": "conditional",
                    "entity": {"field": "person", "kind": "person"}, "key": ["person", "serial"],
                    "topic": {"partitions": PARTITIONS},
                }
                for name in SOURCES
            ],
            "grants": [
                {
                    "id": f"{name}-{reader}", "subject": f"{OWNER}.{name}", "reader": reader, "purpose": purpose,
                    "from": "2020-01-01", "until": "2099-12-31", **grant,
                }
                for name in SOURCES for reader, grant in GRANTS.items()
            ],
        }  # fmt: skip
        fields = [{"name": name, "type": kind} for name, kind in FIELDS.items()]
        schema = {"type": "record", "name": "Row", "namespace": OWNER, "fields": fields}
        (self.folder / "row.avsc").write_text(json.dumps(schema))
        (self.folder / "topics.yaml").write_text(json.dumps(contract, ensure_ascii=False))
