"""Puts a Debezium source together as connector.yaml describes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from exchange import credentials
from exchange.bus.connection import Cluster
from exchange.connect.config import SourceConfig
from exchange.connect.database import Paths
from exchange.connect.debezium.debezium_source import DebeziumSource
from exchange.connect.debezium.envelope import Envelope
from exchange.connect.publish import Encoder
from exchange.connect.roll_call import RollCall
from exchange.schema.avro import Schema
from exchange.schema.types import Type

_NUMBERS = ("int", "long", "float", "double", "decimal", "bytes", "fixed")


def assembled(
    config: SourceConfig,
    paths: Paths,
    schema: Schema,
    columns: Mapping[str, str],
    required: Sequence[str],
    encoder: Encoder,
) -> DebeziumSource:
    """The source, not open yet; `columns` is the column of each field. Raises CredentialsError for its login file."""
    assert config.debezium is not None
    its = config.debezium
    login = credentials.load(paths.path(its.login_file)) if its.login_file else None
    cluster = Cluster(its.bootstrap_servers, f"exchange.{config.subject}", login)
    wanted = None if config.transform else tuple(columns.values())
    key = None if config.transform else tuple(columns[name] for name in encoder.key)
    numbers = [] if config.transform else [columns[name] for name, f in schema.fields.items() if _is_number(f.type)]
    envelope = Envelope(its, encoder.name, key, wanted, required, numbers)
    return DebeziumSource(config, cluster, envelope, wanted, RollCall(config, encoder))


def _is_number(of: Type) -> bool:
    return any(map(_is_number, of.parts)) if of.means == "union" else of.means in _NUMBERS
