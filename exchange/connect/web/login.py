"""How the connector logs in to a web service: secrets from files, and OAuth's tokens."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from exchange.connect.database import Paths
from exchange.connect.web.errors import WebRefusedError
from exchange.connect.web.web_config import OAuth, WebLogin

if TYPE_CHECKING:
    from exchange.connect.web.web_client import Answer


def secret(paths: Paths, name: str) -> str:
    """The first line of that file; raises WebRefusedError."""
    try:
        lines = paths.path(name).read_text("utf-8-sig").splitlines()
    except (OSError, ValueError):
        raise WebRefusedError(f"{name} cannot be read", remedy="check its path and permissions; it is UTF-8") from None
    if not lines or not lines[0].isprintable() or not lines[0].isascii():
        raise WebRefusedError(f"{name} has no secret", remedy="write it into the file's first line, in ASCII")
    return lines[0]


class ServiceLogin:
    """Logs in as `auth` says; `ask` (method, URL, parameters, headers, body) asks for a token."""

    def __init__(
        self,
        auth: WebLogin | None,
        paths: Paths,
        ask: Callable[[str, str, Mapping[str, str], Mapping[str, str], bytes | None], Answer],
        monotonic: Callable[[], float],
    ) -> None:
        self._auth, self._paths, self._ask, self._monotonic = auth, paths, ask, monotonic
        self._token: tuple[str, float] | None = None

    def headers(self) -> Mapping[str, str]:
        """The headers of a request, with a new token if it is time for one."""
        auth = self._auth
        if auth is None:
            return {}
        if auth.bearer_file is not None:
            return {"Authorization": f"Bearer {secret(self._paths, auth.bearer_file)}"}
        if auth.basic is not None:
            return _basic(auth.basic.user, secret(self._paths, auth.basic.password_file))
        if auth.header is not None:
            return {auth.header.name: secret(self._paths, auth.header.file)}
        assert auth.oauth is not None
        if self._token is None or self._monotonic() >= self._token[1]:
            self._token = self._new_token(auth.oauth)
        return {"Authorization": f"Bearer {self._token[0]}"}

    def forget_token(self) -> bool:
        """Forget a token that was withdrawn before its time; return whether there was one."""
        had, self._token = self._token is not None, None
        return had

    def _new_token(self, oauth: OAuth) -> tuple[str, float]:
        """A token, and until when on the monotonic clock it is used: half a minute less than it holds."""
        form = {"grant_type": "client_credentials"} | ({"scope": oauth.scope} if oauth.scope else {})
        headers = _basic(oauth.client_id, secret(self._paths, oauth.secret_file))
        headers = {**headers, "Content-Type": "application/x-www-form-urlencoded"}
        answer = self._ask("POST", oauth.token_url, {}, headers, urlencode(form).encode())
        try:
            told = json.loads(answer.body)
            return str(told["access_token"]), self._monotonic() + float(told.get("expires_in", 60)) - 30
        except (ValueError, KeyError, TypeError, AttributeError):
            raise WebRefusedError(f"{origin(oauth.token_url)} gives no token (answers {answer.status})") from None


def _basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def origin(url: str) -> str:
    """Scheme, host and port of a URL."""
    parts = urlsplit(url)
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    return f"{parts.scheme}://{parts.hostname}:{port}"
