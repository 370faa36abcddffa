"""The keys of `debezium:` in connector.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from exchange.connect.debezium.encodings import DECLARED
from exchange.contract.base import Model

Declared = Annotated[str, Field(pattern=DECLARED)]


class Debezium(Model):
    """A topic of the department's own Kafka, with the changes of one table."""

    bootstrap_servers: str = Field(min_length=1, description="host:port, or several with commas.")
    topic: str = Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")
    login_file: str | None = Field(
        default=None, description="File with username, password, mechanism and ca; absent: that Kafka has no security."
    )
    types: Mapping[str, Declared] = Field(
        default_factory=dict, description="Column: how its values are written, if the messages have no schema."
    )
    placeholder: str = Field(
        default="__debezium_unavailable_value", min_length=1, description="Debezium's `unavailable.value.placeholder`."
    )
    snapshot: int = Field(default=1, ge=1, description="Raise it by one to have the topic read from its beginning.")
