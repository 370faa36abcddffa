"""Says how fast a department's tables would be published: reads and encodes some rows of each, no more."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import date

from exchange.connect.assembly import Assembly
from exchange.connect.database import Paths
from exchange.connect.load import Connector, load
from exchange.connect.sql_source import SqlSource
from exchange.contract.load import Loaded
from exchange.contract.load import load as load_contract
from exchange.records.warm_up_source import warm_up
from exchange.settings import Settings


@dataclass(frozen=True)
class Sample:
    """How fast the first rows of a subject's table were read and encoded, and how large their records are."""

    subject: str
    rows: int
    rejected: int
    row_bytes: float
    rows_per_second: float

    def __str__(self) -> str:
        said = f"{self.rows_per_second:,.0f} rows a second are read and encoded, {self.row_bytes:,.0f} bytes a record"
        return f"{self.subject}: {said}; {self.rejected:,} of {self.rows:,} rejected"


def examine(settings: Settings, department: str, today: date, rows: int) -> list[Sample]:
    """The samples of the department's connector, whose file is right."""
    found = load(settings.connectors, department)
    return list(samples(found, load_contract(settings.contract, today), Paths(found.folder, settings.home), rows))


def samples(connector: Connector, loaded: Loaded, paths: Paths, rows: int) -> Iterator[Sample]:
    """A sample of so many rows, in whole pages, of each table or query that a cursor puts in order."""
    warm_up()
    parts = Assembly(paths, connector.config.database)
    for config in connector.config.sources:
        if config.cursor is None:
            continue
        subject, schema = loaded.contract.subject(config.subject), loaded.schemas[config.subject]
        encoder = parts.encoder(config, subject, 0, schema)
        with closing(parts.source(config.model_copy(update={"sweep": None}), schema)) as source:
            assert isinstance(source, SqlSource)
            source.open({})
            done = rejected = size = 0
            began_s = time.perf_counter()
            for page in source.pages():
                made = encoder.encode(page)
                done += len(page.rows)
                rejected += len(made.rejected)
                size += int(made.values.sizes.sum())
                if done >= rows:
                    break
            if done:
                speed = done / (time.perf_counter() - began_s)
                yield Sample(config.subject, done, rejected, size / max(1, done - rejected), speed)
