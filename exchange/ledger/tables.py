"""The ledger's SQL tables: what the follower writes and the audit reads.

Times are milliseconds since 1970 (UTC); days are ISO text in the city's time zone. An entry's id follows from its
place in the ledger, `offset * 1024 + ledger partition`, so that it is the same whenever the tables are built again
from Kafka.
"""

from __future__ import annotations

from sqlalchemy import (
    DDL,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    event,
    text,
)

MAX_LEDGER_PARTITIONS = 1024

metadata = MetaData()

positions = Table(
    "ledger_positions",
    metadata,
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("next_offset", BigInteger, nullable=False),
)

entries = Table(
    "ledger_entries",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("ledger_partition", Integer, nullable=False),
    Column("ledger_offset", BigInteger, nullable=False),
    Column("producer_id", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False, comment="Merkle leaf of the ledger record (key and value)."),
    Column("time_ms", BigInteger, nullable=False),
    Column("day", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("router", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("count", Integer, nullable=False),
    Column("quarantined", Integer, nullable=False),
    Column("replay", Text, comment="Id of the replay; null for the live flow."),
    Column("body", LargeBinary, nullable=False, comment="The entry itself, Avro."),
    UniqueConstraint("ledger_partition", "ledger_offset"),
    CheckConstraint("state IN ('open', 'committed', 'aborted')"),
)
Index("ledger_entries_open", entries.c.ledger_partition, entries.c.producer_id, sqlite_where=text("state = 'open'"),
      postgresql_where=text("state = 'open'"))  # fmt: skip
Index("ledger_entries_source", entries.c.topic, entries.c.partition)
# Tags do not compress, and an entry is always read in one piece.
event.listen(
    entries,
    "after_create",
    DDL("ALTER TABLE ledger_entries ALTER COLUMN body SET STORAGE EXTERNAL").execute_if(dialect="postgresql"),
)

topics = Table(
    "ledger_topics",
    metadata,
    Column("topic", Text, primary_key=True),
    Column("topic_id", Text, nullable=False, comment="Kafka's: a topic that is made anew has another one."),
)

gaps = Table(
    "ledger_gaps",
    metadata,
    Column("entry_id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("first", BigInteger, nullable=False),
    Column("next", BigInteger, nullable=False),
    Column("cause", Text, nullable=False),
    Column("topic_id", Text, nullable=False),
    Column("accepted", Boolean, nullable=False),
)

runs = Table(
    "ledger_runs",
    metadata,
    Column("entry_id", BigInteger, primary_key=True),
    Column("first", BigInteger, primary_key=True),
    Column("count", Integer, nullable=False),
    sqlite_with_rowid=False,
)

outcomes = Table(
    "ledger_outcomes",
    metadata,
    Column("entry_id", BigInteger, primary_key=True),
    Column("grant_id", Text, primary_key=True),
    Column("delivered", Integer, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("withheld", Integer, nullable=False, comment="For all reasons together."),
    Column("withdrawn", Integer, nullable=False, server_default="0", comment="For all reasons together."),
    Column("withdrawals", Integer, nullable=False, server_default="0", comment="What the reader got for them."),
    sqlite_with_rowid=False,
)


def _by_reason(name: str) -> Table:
    """A table that counts, for each entry and grant, the records with one fate by its reason."""
    return Table(
        name,
        metadata,
        Column("entry_id", BigInteger, primary_key=True),
        Column("grant_id", Text, primary_key=True),
        Column("reason", Text, primary_key=True),
        Column("count", Integer, nullable=False),
        sqlite_with_rowid=False,
    )


withheld, withdrawn = _by_reason("ledger_withheld"), _by_reason("ledger_withdrawn")

quarantined = Table(
    "ledger_quarantined",
    metadata,
    Column("entry_id", BigInteger, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("source_offset", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    sqlite_with_rowid=False,
)

tags = Table(
    "ledger_tags",
    metadata,
    Column("generation", SmallInteger, primary_key=True),
    Column("tag", BigInteger, primary_key=True, comment="First 8 bytes of the tag; the entry's body has all 16."),
    Column("entry_id", BigInteger, primary_key=True),
    sqlite_with_rowid=False,
)

generations = Table(
    "ledger_tag_generations",
    metadata,
    Column("generation", SmallInteger, primary_key=True, autoincrement=False),
    Column("rows", BigInteger, nullable=False),
)

grants = Table(
    "ledger_grants",
    metadata,
    Column("epoch", BigInteger, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("subject", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("reader", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("basis", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("fields", Text, nullable=False, comment="JSON: all, or the names, with masks."),
    Column("filter", Text, nullable=False, comment="JSON: the grant's where."),
    Column("from_day", Text, nullable=False),
    Column("until_day", Text, nullable=False),
)
