"""Sends CloudEvents 1.0, in structured JSON, to a web address; signed as Standard Webhooks has it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from datetime import time as clock_time
from decimal import Decimal
from typing import Any
from uuid import UUID

from exchange.connect.database import Paths
from exchange.connect.web.errors import WebRefusedError
from exchange.connect.web.login import secret
from exchange.connect.web.web_client import WebClient
from exchange.connect.web.web_config import Webhook


class Hook:
    """Signs events of one subject and sends them."""

    def __init__(self, config: Webhook, paths: Paths, subject: str, *, clock: Callable[[], float] = time.time) -> None:
        self._url, self._subject, self._clock = config.url, subject, clock
        said = secret(paths, config.secret_file)
        try:
            plain = base64.b64decode(said[6:], validate=True) if said.startswith("whsec_") else said.encode()
        except ValueError:
            raise WebRefusedError(f"{config.secret_file}: what follows whsec_ is not base64") from None
        self._key = plain
        self._client = WebClient(config, paths)

    def send(self, event_id: str, kind: str, time_ms: int, data: Mapping[str, Any], **more: str) -> None:
        """Send until it is accepted; raises WebUnavailableError if that takes long, WebRefusedError if never."""
        at = datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds")
        event = {
            "specversion": "1.0",
            "id": event_id,
            "source": f"urn:exchange:{self._subject}",
            "type": kind,
            "subject": self._subject,
            "time": at.replace("+00:00", "Z"),
            "datacontenttype": "application/json",
            **more,
            "data": data,
        }
        body = json.dumps(event, default=_plain, ensure_ascii=False, allow_nan=False).encode()
        self._client.post(self._url, body, lambda: self._headers(event_id, body))

    def close(self) -> None:
        """Disconnect."""
        self._client.close()

    def _headers(self, event_id: str, body: bytes) -> dict[str, str]:
        stamp = str(int(self._clock()))
        signed = hmac.new(self._key, f"{event_id}.{stamp}.".encode() + body, hashlib.sha256).digest()
        return {
            "Content-Type": "application/cloudevents+json; charset=utf-8",
            "webhook-id": event_id,
            "webhook-timestamp": stamp,
            "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
        }


def _plain(value: Any) -> str:
    """A value that JSON does not have: exact numbers and times as text, bytes as base64."""
    if isinstance(value, datetime | date | clock_time):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, Decimal | UUID):
        return f"{value:f}" if isinstance(value, Decimal) else str(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(type(value).__name__)
