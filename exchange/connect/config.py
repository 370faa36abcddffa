"""connector.yaml as frozen models: what a department publishes, and what it takes in.

    department: tax
    database: sqlite:///${home}/city/tax.db     # the URL of SQLite, PostgreSQL, MySQL or MariaDB; or, with a password:
    # database: {url: postgresql://exchange@db/tax, password_file: secrets/tax}
    sources:
      - subject: tax.income                     # one of the department's own subjects
        table: income                           # or query: SELECT …
        cursor: {time: updated_at, id: id}      # changes with every update; unique with the id
        lookback_s: 60                          # longest time between a row's timestamp and its commit
        columns: {resident_id: id_no}           # schema field: column, only if the names differ
        round: {updated_at: millis, amount: 2}  # optional: a loss that is declared; the contract shows it as `rounded`
        optional: [employer]                    # columns that may be missing
        transform: transform.py:income          # optional: row mapping -> row mapping, or None to skip the row
        deleted: {column: state, values: [gone]}  # optional: rows that say of themselves that they are deleted
        sweep: {every: 1h}                      # optional: rows that are no longer in the table are deleted
      - subject: tax.debtor                     # its key tells the rows apart
        table: debtor
        cdc: postgresql                         # in place of a cursor: each change, and each deletion, from the log
      - subject: tax.arrears
        csv: {folder: "${home}/drop/tax/arrears", pattern: "*.csv", encoding: gb18030}
      - subject: tax.refund
        debezium: {bootstrap_servers: "kafka.tax:9092", login_file: secrets/kafka.yaml, topic: oracle.tax.refund}
      - subject: tax.relief
        http: {url: https://api.tax/reliefs, rows: /items, since: {param: from, field: updated_at}, page: {by: link}}
      - subject: tax.waivers
        excel: {folder: "${home}/drop/tax/waivers", sheet: waivers}
      - subject: tax.notices
        python: notices.py:Notices              # a Source class of your own, see exchange/connect/source.py
    sinks:
      - subject: civil.household                # a subject that the contract grants to the department
        table: household                        # default: civil_household; what tells its rows apart, the contract says
      - subject: civil.marriage
        parquet: {folder: "${home}/analysts/marriage"}  # in place of a table
      - subject: civil.divorce
        webhook: {url: https://hook.tax/marriages, secret_file: secrets/hook}
    answers: […]                                # what it answers of cases, see exchange/cases/answering/items.py

`${home}` is the exchange's home folder; other relative paths start at the connector's folder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, model_validator

from exchange.connect.debezium.topic_config import Debezium
from exchange.connect.web.web_config import Pull, Webhook
from exchange.contract.base import Model
from exchange.contract.model import Name, Rounding, SubjectId

ORIGINS = ("table", "query", "csv", "excel", "debezium", "http", "python")
Reference = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_-]*\.py:[A-Za-z_][A-Za-z0-9_]*$")]


def _text_codec(name: str) -> None:
    """Raise LookupError or ValueError unless this encodes text (base64 does not) and tolerates stray bytes."""
    if "a,1\n".encode(name).decode(name) != "a,1\n" or not bytes(range(256)).decode(name, "replace"):
        raise ValueError(name)


def _known(check: Callable[[str], object], what: str) -> AfterValidator:
    def validate(name: str) -> str:
        try:
            check(name)
        except (LookupError, ValueError) as error:
            raise ValueError(f"'{name}' is not {what}") from error
        return name

    return AfterValidator(validate)


Timezone = Annotated[str, _known(ZoneInfo, "a time zone, such as Asia/Shanghai")]
Encoding = Annotated[str, _known(_text_codec, "a text encoding, such as utf-8 or gb18030")]


Every = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,5}[smhd]$", description="Such as 30m, 1h or 1d.")]


def _seconds(every: str) -> float:
    return int(every[:-1]) * {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}[every[-1]]


class Database(Model):
    """Where a database is; a password belongs in a file of its own."""

    url: str = Field(description="URL of SQLite, PostgreSQL, MySQL or MariaDB.")
    password_file: str | None = Field(default=None, description="File whose first line is the password.")
    timeout_s: float = Field(default=300, gt=0, description="The longest that one statement may take on a server.")

    @model_validator(mode="before")
    @classmethod
    def _from_url(cls, value: Any) -> Any:
        return {"url": value} if isinstance(value, str) else value


class Cursor(Model):
    """The two columns that put a table's changes in order."""

    time: str = Field(description="Timestamp column that every insert and update moves forward.")
    id: str = Field(description="Column that tells rows of one timestamp apart.")


class SoftDelete(Model):
    """How a row says of itself that it is deleted."""

    column: str
    values: tuple[str | int | bool | None, ...] = Field(
        min_length=1, description="A row with one of these in the column is a deletion."
    )


class Sweep(Model):
    """How often the table's keys are compared with what was published."""

    every: Every

    @property
    def every_s(self) -> float:
        """The time between the end of one comparison and the start of the next."""
        return _seconds(self.every)


class Parquet(Model):
    """A folder into which deliveries are written as Parquet files, and when a file is due."""

    folder: str
    every: Every = Field(default="10m", description="The longest that a row waits for its file.")
    rows: int = Field(default=50_000, ge=1, le=1_000_000, description="So many rows are written without waiting.")

    @property
    def every_s(self) -> float:
        """The longest that a row waits."""
        return _seconds(self.every)


class Cdc(Model):
    """The database's log as the origin of a table's changes."""

    kind: Literal["postgresql"]
    snapshot: int = Field(default=1, ge=1, description="Raise it by one to have the table read from its beginning.")

    @model_validator(mode="before")
    @classmethod
    def _from_kind(cls, value: Any) -> Any:
        return {"kind": value} if isinstance(value, str) else value


class Remote(Model):
    """How to log in where a remote folder is; secrets are in files that only their owner may read."""

    key_file: str | None = Field(default=None, description="SFTP: private key without passphrase.")
    password_file: str | None = Field(default=None, description="SFTP: file whose first line is the password.")
    known_hosts: str | None = Field(default=None, description="SFTP: file with the server's host key, as OpenSSH's.")
    key_id: str | None = Field(default=None, description="S3: the access key's id.")
    secret_file: str | None = Field(default=None, description="S3: file whose first line is the secret key.")
    endpoint: str | None = Field(default=None, description="S3: the server's URL, if it is not Amazon's.")
    delete: bool = Field(default=False, description="Delete a file there once it is fetched and noted.")


class Drop(Model):
    """A folder into which people drop files of rows, here or on a server."""

    folder: str = Field(description="A path, or sftp://user@host/folder or s3://bucket/folder.")
    remote: Remote | None = Field(default=None, description="How to log in, if the folder is on a server.")
    mode: Literal["changes", "full"] = Field(
        default="changes", description="full: a file is the whole register, and what is missing in it is deleted."
    )
    pattern: str = Field(pattern=r"^[^/\\]+$")
    settle_s: float = Field(
        default=2.0, ge=0, description="Complete when unchanged so long, or with a .done file beside it."
    )

    @model_validator(mode="after")
    def _can_log_in(self) -> Drop:
        scheme, _, rest = self.folder.partition("://")
        if (rest != "") != (self.remote is not None):
            raise ValueError("`remote` goes with a folder such as sftp://user@host/folder or s3://bucket/folder")
        if self.remote is None:
            return self
        ssh = {"key_file": self.remote.key_file, "password_file": self.remote.password_file}
        s3 = {"key_id": self.remote.key_id, "secret_file": self.remote.secret_file}
        said = {name for name, value in {**ssh, **s3}.items() if value}
        if scheme not in ("sftp", "s3"):
            raise ValueError(f"{scheme}:// is not supported: write sftp:// or s3://")
        if scheme == "s3" and (said != s3.keys() or self.remote.known_hosts):
            raise ValueError("s3:// needs `remote: {key_id: …, secret_file: …}`")
        if scheme == "sftp" and (len(said) != 1 or said & s3.keys() or not self.remote.known_hosts):
            raise ValueError("sftp:// needs `remote: {known_hosts: …}` with `key_file` or `password_file`")
        if ":" in rest.rpartition("@")[0]:
            raise ValueError("a password belongs into `password_file`, not into the folder's URL")
        return self


class Csv(Drop):
    """Dropped CSV files."""

    pattern: str = Field(default="*.csv", pattern=r"^[^/\\]+$")
    encoding: Encoding = Field(default="utf-8", description="utf-8 (a byte order mark is fine), gb18030, …")
    delimiter: str = Field(default=",", pattern=r'^[^"\r\n]$')
    null: str = Field(default="", description="The text that stands for a missing value.")


class Excel(Drop):
    """Dropped workbooks: .xlsx, .xls, .ods."""

    pattern: str = Field(default="*.xlsx", pattern=r"^[^/\\]+$")
    sheet: str | None = Field(default=None, description="The sheet's name; absent: the only one with cells.")


class SourceConfig(Model):
    """One subject that the department publishes, and where its rows come from."""

    subject: SubjectId
    table: str | None = Field(default=None, description="Table or view, with its schema if needed: tax.income.")
    query: str | None = Field(default=None, description="One SELECT that gives the cursor's columns too.")
    csv: Csv | None = None
    excel: Excel | None = None
    debezium: Debezium | None = Field(default=None, description="Changes that Debezium writes to a Kafka of yours.")
    http: Pull | None = Field(default=None, description="An API that gives rows as JSON.")
    python: Reference | None = Field(default=None, description="file.py:Class of a Source in the connector's folder.")
    options: Mapping[str, Any] = Field(default_factory=dict, description="Passed to the class named by `python`.")
    cursor: Cursor | None = None
    cdc: Cdc | None = Field(
        default=None, description="Take a table's changes from the database's log, not by a cursor."
    )
    lookback_s: float = Field(default=60, ge=0, description="Longest time between a row's timestamp and its commit.")
    poll_s: float = Field(default=1.0, gt=0, description="Pause between looks at a source that has nothing new.")
    page_rows: int = Field(default=5000, ge=1, le=50_000, description="Rows in one transaction at most.")
    columns: Mapping[str, str] = Field(default_factory=dict, description="Schema field: column, if the names differ.")
    round: Mapping[str, Rounding] = Field(
        default_factory=dict, description="Schema field: unit or decimals to which its values are made less exact."
    )
    optional: tuple[str, ...] = Field(
        default=(), description="Columns that may be missing: their fields take the schema's defaults then."
    )
    deleted: SoftDelete | None = Field(default=None, description="Which rows are deletions, by a column.")
    sweep: Sweep | None = Field(default=None, description="Notice rows that are no longer in the table.")
    brake: float = Field(
        default=0.05, ge=0, le=1, description="If a larger share of the rows is missing at once, ask before deleting."
    )
    transform: Reference | None = Field(default=None, description="file.py:function in the connector's folder.")
    timezone: Timezone = Field(default="Asia/Shanghai", description="Zone of timestamps that carry none.")
    database: Database | None = Field(default=None, description="If it is not the connector's database.")

    @model_validator(mode="after")
    def _one_origin(self) -> SourceConfig:
        origins = [name for name in ORIGINS if getattr(self, name) is not None]
        if len(origins) != 1:
            raise ValueError(f"give exactly one of {', '.join(ORIGINS)}")
        if self.cdc is not None and (self.table is None or self.cursor or self.deleted or self.sweep):
            raise ValueError("cdc goes with a table; it needs no cursor, no `deleted` and no `sweep`")
        if self.cdc is None and (self.cursor is None) == (origins[0] in ("table", "query")):
            raise ValueError("a table or query needs a cursor: {time: column, id: column}; nothing else has one")
        if self.options and self.python is None:
            raise ValueError("options go with python only")
        if self.deleted is not None and (self.python is not None or self.debezium is not None):
            raise ValueError("python and debezium say themselves what is deleted: `deleted` goes with the others")
        if self.sweep is not None and self.table is None:
            raise ValueError("`sweep` goes with `table` only; make a view of the query, or use files with `mode: full`")
        if self.sweep is not None and self.transform is not None:
            raise ValueError("`sweep` reads keys only, so no `transform`; name a view that does the same as `table`")
        if "brake" in self.model_fields_set and not self.infers_deletions:
            raise ValueError("`brake` goes with `sweep`, with `mode: full`, or with `debezium`")
        return self

    @property
    def key(self) -> str:
        """The key under which the file says where the rows come from."""
        return next(name for name in ORIGINS if getattr(self, name) is not None)

    @property
    def drop(self) -> Csv | Excel | None:
        """The folder from which files are taken, if there is one."""
        return self.csv or self.excel

    @property
    def pause_s(self) -> float:
        """The pause that `poll_s` means: by default short where a look costs nothing, long where it is a request."""
        if "poll_s" in self.model_fields_set:
            return self.poll_s
        return 0.05 if self.cdc is not None else 60.0 if self.http is not None else self.poll_s

    @property
    def infers_deletions(self) -> bool:
        """Whether rows count as deleted without being named: because they are missing, or by TRUNCATE."""
        is_full = any(kind is not None and kind.mode == "full" for kind in (self.drop, self.http))
        return self.sweep is not None or self.debezium is not None or is_full


class SinkConfig(Model):
    """One granted subject that the department takes into a table or Parquet files, or has sent to a web address."""

    subject: SubjectId
    table: str | None = Field(default=None, description="Table to create and fill; absent: <owner>_<name>.")
    parquet: Parquet | None = Field(default=None, description="Write Parquet files in place of a table.")
    database: Database | None = Field(default=None, description="If it is not the connector's database.")
    webhook: Webhook | None = Field(default=None, description="A web address in place of a table.")

    @model_validator(mode="after")
    def _one_target(self) -> SinkConfig:
        others = [self.table, self.database]
        if self.parquet is not None and any(each is not None for each in (*others, self.webhook)):
            raise ValueError("`parquet` goes without `table` and `database`")
        if self.webhook is not None and any(each is not None for each in others):
            raise ValueError("`webhook` goes without `table` and `database`")
        return self

    @property
    def table_name(self) -> str:
        """The table's name, even if the file gives none."""
        return self.table or self.subject.replace(".", "_").replace("-", "_")


class ConnectorConfig(Model):
    """The whole connector.yaml of one department."""

    department: Name
    database: Database | None = None
    sources: tuple[SourceConfig, ...] = ()
    sinks: tuple[SinkConfig, ...] = ()
    answers: tuple[Any, ...] = Field(default=(), description="What it answers of cases: exchange/cases/answering.")

    @model_validator(mode="after")
    def _distinct(self) -> ConnectorConfig:
        for kind, subjects in (
            ("source", [s.subject for s in self.sources]),
            ("sink", [s.subject for s in self.sinks]),
        ):
            twice = sorted({s for s in subjects if subjects.count(s) > 1})
            if twice:
                raise ValueError(f"more than one {kind} for {', '.join(twice)}")
        return self
