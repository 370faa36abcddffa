"""What the benchmark's source has is what its schema says, so that nothing of it is rejected."""

from __future__ import annotations

import json

from exchange.connect.cdc.setup import name_of
from exchange.connect.convert import converter
from exchange.connect.source import Bad, Deleted
from exchange.schema import avro
from tests.bench import capture
from tests.bench.workload import ENTITY, SCHEMA
from tests.rigs import captures
from tests.rigs.databases import Server


def test_every_change_fits_the_schema(private_postgres: Server) -> None:
    publication = f"CREATE PUBLICATION {name_of('a.b')} FOR TABLE t"
    capture.execute(private_postgres, capture.TABLE.format(name="t"), publication)
    source = captures.capture(private_postgres.url(), key=(ENTITY,))
    source.open({})
    rows = captures.follow(source, {})
    assert rows == []
    capture.execute(private_postgres, capture.changing("t", 100, 10))
    source.look()
    rows = captures.follow(source, {})
    source.close()
    assert len(rows) == 100
    assert sum(isinstance(row, Deleted) for row in rows) == 10
    convert = converter(avro.parse(json.dumps(SCHEMA)), {})
    for row in rows:
        assert not isinstance(row, Bad)
        if not isinstance(row, Deleted):
            convert(row)
