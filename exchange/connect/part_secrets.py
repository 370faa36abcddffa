"""The files with secrets that a source or sink of connector.yaml names, besides passwords of databases."""

from __future__ import annotations

from collections.abc import Iterator

from exchange.connect.config import SinkConfig, SourceConfig
from exchange.connect.web.web_config import Service


def secrets(part: SourceConfig | SinkConfig) -> Iterator[str]:
    """Their paths, as the file has them."""
    service: Service | None
    if isinstance(part, SinkConfig):
        service, files = part.webhook, [part.webhook.secret_file if part.webhook else None]
    else:
        service, files = part.http, [part.debezium.login_file if part.debezium else None]
    if service is not None and (auth := service.auth) is not None:
        files.append(auth.bearer_file)
        files.append(auth.basic.password_file if auth.basic else None)
        files.append(auth.header.file if auth.header else None)
        files.append(auth.oauth.secret_file if auth.oauth else None)
    yield from filter(None, files)
