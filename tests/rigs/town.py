"""A small exchange for fault tests: one publishing department, three readers, every kind of grant."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from stdnum.cn import uscc

from exchange import credentials, names
from exchange.bus import Cluster
from tests.rigs.place import Place

OWNER = "registry"
READERS = ("tax", "civil", "credit")
KINDS = ("car", "bus", "truck", "van")
START = datetime(2025, 3, 1, 8, 0)
PARTITIONS = 4

FIELDS: dict[str, list[tuple[str, Any]]] = {
    "income": [
        ("serial", "long"),
        ("resident_id", "string"),
        ("year", "int"),
        ("district", "string"),
        ("cents", "long"),
        ("employer", ["null", "string"]),
    ],
    "vehicle": [
        ("serial", "long"),
        ("owner_id", "string"),
        ("kind", {"type": "enum", "name": "Kind", "symbols": list(KINDS)}),
        ("axles", "int"),
    ],
    "visit": [("serial", "long"), ("patient_id", "string"), ("days", "int")],
}
ENTITY = {"income": "resident_id", "vehicle": "owner_id", "visit": "patient_id"}
SHARE = {"income": 0.5, "vehicle": 0.3, "visit": 0.2}
"""Of all rows, how many are of each subject."""

PSEUDONYM_KEY = bytes(range(32))
GRANTS: dict[str, dict[str, Any]] = {
    "income-tax": {"subject": "income", "reader": "tax", "fields": "all"},
    "income-civil": {
        "subject": "income", "reader": "civil", "fields": ["year", "cents"], "where": {"district": {"prefix": "4401"}},
        "masks": {"cents": {"kind": "range", "bounds": [0, 250_000, 500_000]}},
    },
    "income-credit": {"subject": "income", "reader": "credit", "fields": ["resident_id", "year"]},
    "vehicle-tax": {
        "subject": "vehicle", "reader": "tax", "fields": "all", "where": {"kind": {"in": ["car", "bus"]}},
    },
    "vehicle-civil": {
        "subject": "vehicle", "reader": "civil", "fields": ["owner_id", "kind"], "where": {"axles": {"ge": 3}},
    },
    "visit-civil": {"subject": "visit", "reader": "civil", "fields": "all"},
    "visit-credit": {
        "subject": "visit", "reader": "credit", "fields": ["patient_id", "days"], "masks": {"patient_id": "pseudonym"},
    },
    "visit-tax-later": {"subject": "visit", "reader": "tax", "fields": "all", "from": "2090-01-01"},
}  # fmt: skip


def row(subject: str, serial: int) -> tuple[Any, ...]:
    """The row with that serial number, in the order of the subject's fields."""
    person = f"44010619900101{serial % 5000:04d}"
    if subject == "income":
        district = ("440103", "440106", "440305", "441900")[serial // 3 % 4]
        return serial, person, 2020 + serial % 6, district, serial * 37 % 1_000_003, None if serial % 3 else "穗城公司"
    if subject == "vehicle":
        return serial, person, KINDS[serial // 7 % 4], 2 + serial % 3
    return serial, person, serial % 11


def avro_schema(subject: str) -> dict[str, Any]:
    """The schema under which the subject is published."""
    fields = [{"name": name, "type": type_} for name, type_ in FIELDS[subject]]
    return {"type": "record", "name": subject.title(), "namespace": OWNER, "fields": fields}


class Town(Place):
    """A place with a contract, a connector and the publishing department's database."""

    def __init__(self, folder: Path, cluster: Cluster) -> None:
        super().__init__(folder, cluster)
        self.database = folder / "registry.db"
        if cluster.security:
            # Each daemon logs in as itself; only commands of the administrator as the administrator.
            del self.environment["EXCHANGE_CREDENTIALS"]
            credentials.save(credentials.file_of(self.home, names.ADMIN_PRINCIPAL), cluster.security)
        self.home.mkdir(exist_ok=True)
        key = self.home / "pseudonym.key"
        key.write_bytes(PSEUDONYM_KEY)
        key.chmod(0o600)
        self._write_contract()
        self._write_connector()

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """The department's database."""
        connection = sqlite3.connect(self.database, timeout=60)
        try:
            yield connection
        finally:
            connection.close()

    def make_tables(self) -> None:
        """Create the department's empty tables."""
        with self.connection() as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            for subject, fields in FIELDS.items():
                columns = ", ".join(name for name, _ in fields[1:])
                connection.execute(f"CREATE TABLE {subject} (serial INTEGER PRIMARY KEY, {columns}, updated_at TEXT)")
                connection.execute(f"CREATE INDEX {subject}_cursor ON {subject} (updated_at, serial)")
            connection.commit()

    def insert(self, subject: str, serials: range) -> None:
        """Insert the rows with these serial numbers in one transaction, ten milliseconds apart."""
        marks = ", ".join("?" * (len(FIELDS[subject]) + 1))
        rows = ((*row(subject, n), str(START + timedelta(microseconds=10_000 * n + 1))) for n in serials)
        with self.connection() as connection:
            connection.executemany(f"INSERT INTO {subject} VALUES ({marks})", rows)
            connection.commit()

    def _write_contract(self) -> None:
        title = {"zh": "测试", "en": "Test"}
        purpose = {"code": "test", "basis": "Test law, article 1", "text": "Shows what faults do."}
        departments = (OWNER, *READERS)
        contract = {
            "version": 1,
            "departments": [
                {"id": id_, "title": title, "credit_code": credit_code(at)} for at, id_ in enumerate(departments)
            ],
            "subjects": [
                {
                    "name": name, "owner": OWNER, "title": title, "schema": f"{name}.avsc", "share": "conditional",
                    "entity": {"field": ENTITY[name], "kind": "person"}, "topic": {"partitions": PARTITIONS},
                }
                for name in FIELDS
            ],
            "grants": [
                {"id": id_, "purpose": purpose, "from": "2020-01-01", "until": "2099-12-31"}
                | grant | {"subject": f"{OWNER}.{grant['subject']}"}
                for id_, grant in GRANTS.items()
            ],
        }  # fmt: skip
        for name in FIELDS:
            (self.folder / f"{name}.avsc").write_text(json.dumps(avro_schema(name)))
        (self.folder / "topics.yaml").write_text(json.dumps(contract, ensure_ascii=False))

    def _write_connector(self) -> None:
        sources = [
            {
                "subject": f"{OWNER}.{name}", "table": name, "cursor": {"time": "updated_at", "id": "serial"},
                "lookback_s": 5, "poll_s": 0.1, "page_rows": 5000,
            }
            for name in FIELDS
        ]  # fmt: skip
        folder = self.folder / "connectors" / OWNER
        folder.mkdir(parents=True, exist_ok=True)
        config = {"department": OWNER, "database": f"sqlite:///{self.database}", "sources": sources}
        (folder / "connector.yaml").write_text(json.dumps(config))


def credit_code(number: int) -> str:
    """The credit code of the department with that number."""
    stem = f"11440100MBX{number:02d}FA1X"
    return stem + str(uscc.calc_check_digit(stem))


def slices(total: int, pieces: int) -> Iterator[Sequence[tuple[str, range]]]:
    """All rows of a town of `total` rows, cut into that many pieces of every subject."""
    counts = {subject: round(total * share) for subject, share in SHARE.items()}
    for at in range(pieces):
        yield [(subject, range(count * at // pieces, count * (at + 1) // pieces)) for subject, count in counts.items()]
