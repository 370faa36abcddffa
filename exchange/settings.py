"""Settings of every command and daemon: the only reader of the environment (`EXCHANGE_*`)."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """All settings, each from `EXCHANGE_<NAME>`; the defaults suit a first run with the embedded broker."""

    model_config = SettingsConfigDict(env_prefix="EXCHANGE_", frozen=True, extra="forbid")

    bootstrap_servers: str = Field("127.0.0.1:9092", description="Kafka, as host:port,host:port.")
    home: Path = Field(Path(".exchange"), description="Folder for the local broker, databases, logs and keys.")
    contract: Path = Field(Path("topics.yaml"), description="The contract file.")
    connectors: Path = Field(Path("connectors"), description="Folder with one connector folder per department.")
    credentials: Path | None = Field(
        None, description="Credential file for Kafka; absent: the principal's own at home."
    )
    ledger_url: str = Field("", description="SQL database of the ledger follower; empty: SQLite in the home folder.")
    ledger_key_file: Path | None = Field(None, description="32-byte key of the ledger's tags; absent: made at home.")
    pseudonym_key_file: Path | None = Field(None, description="32-byte key of pseudonyms; absent: made at home.")
    grants_url: str = Field("", description="SQL database of grant requests; empty: SQLite in the home folder.")
    authority: str = Field("data-services", description="Department that reviews and decides on grant requests.")
    department: str = Field("", description="Department that `exchange grant` acts for, without `--department`.")
    operator: str = Field("", description="Person who acts in `exchange grant`; empty: the system's user name.")
    holidays: Path | None = Field(None, description="YAML file of public holidays that the calendar does not know yet.")
    metrics_host: str = Field("127.0.0.1", description="Address on which daemons serve /metrics and /healthz.")
    log_level: str = Field("INFO", description="DEBUG, INFO, WARNING or ERROR.")
    java: str = Field("java", description="Java 17 or newer, for the local broker.")
    maven: str = Field("mvn", description="Maven, which fetches the local broker's jars.")


def environment(**settings: str) -> dict[str, str]:
    """The environment for another process of the exchange, with these settings in place of this one's."""
    return {**os.environ, **{f"EXCHANGE_{name.upper()}": value for name, value in settings.items()}}


def place_kernels() -> None:
    """Let numba keep the compiled kernels at home, if the package's own folder cannot be written.

    Call it before numba is imported. If NUMBA_CACHE_DIR is set, it takes precedence.
    """
    os.environ.setdefault("NUMBA_CACHE_DIR", str(Settings().home.resolve() / "kernels"))
