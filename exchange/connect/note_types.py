"""Types of the tables in which sinks keep their own notes, in every database that a sink can have."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

# Topics, ids and digests, in ASCII, which can be in a key: MySQL's keys have no texts without limit.
NAME = sa.Text().with_variant(mysql.VARCHAR(255, charset="ascii", collation="ascii_bin"), "mysql")
TEXT = sa.Text().with_variant(mysql.LONGTEXT(charset="utf8mb4"), "mysql")
MOMENT = sa.DateTime(timezone=True).with_variant(mysql.DATETIME(fsp=6), "mysql")
INNODB: dict[str, Any] = {"mysql_engine": "InnoDB"}  # notes are written in the transaction of the rows
