"""Types of the tables in which sinks keep their own notes, in every database that a sink can have."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mssql, mysql, oracle

from exchange.connect.dialects.merge_types import EXACT
from exchange.connect.sink_values import Type

_LONG = sa.NVARCHAR("max", collation=EXACT)  # type: ignore[arg-type]


def _type(usual: Type, *, of_mysql: Type, of_oracle: Type, of_dameng: Type, of_sql_server: Type) -> Type:
    special = {"mysql": of_mysql, "oracle": of_oracle, "dameng": of_dameng, "mssql": of_sql_server}
    for name, of_type in special.items():
        usual = usual.with_variant(of_type, name)
    return usual


# Topics, ids and digests, in ASCII, which can be in a key: only some databases have keys with texts without limit.
NAME = _type(
    sa.Text(),
    of_mysql=mysql.VARCHAR(255, charset="ascii", collation="ascii_bin"),
    of_oracle=oracle.VARCHAR2(255),
    of_dameng=oracle.VARCHAR2(255),
    of_sql_server=sa.NVARCHAR(255, collation=EXACT),
)
# Of a few sentences; of any length.
TEXT = _type(
    sa.Text(),
    of_mysql=mysql.LONGTEXT(charset="utf8mb4"),
    of_oracle=oracle.VARCHAR2(4000),
    of_dameng=oracle.VARCHAR2(2000),
    of_sql_server=_LONG,
)
LIST = _type(
    sa.Text(),
    of_mysql=mysql.LONGTEXT(charset="utf8mb4"),
    of_oracle=sa.CLOB(),
    of_dameng=sa.CLOB(),
    of_sql_server=_LONG,
)
MOMENT = _type(
    sa.DateTime(timezone=True),
    of_mysql=mysql.DATETIME(fsp=6),
    of_oracle=oracle.TIMESTAMP(timezone=True),
    of_dameng=sa.TIMESTAMP(),
    of_sql_server=mssql.DATETIMEOFFSET(6),
)
INNODB: dict[str, Any] = {"mysql_engine": "InnoDB"}  # notes are written in the transaction of the rows
