"""Speaks HTTP with one service: login, retries, limits. What is sent and received never gets into logs or errors."""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

from exchange.connect.database import Paths
from exchange.connect.extras import extra
from exchange.connect.web.errors import WebRefusedError, WebUnavailableError
from exchange.connect.web.login import ServiceLogin, origin
from exchange.connect.web.web_config import Service

ATTEMPTS, FIRST_PAUSE_S, LAST_PAUSE_S = 6, 0.5, 60.0
REDIRECTS = 5
_BUSY = {408, 425, 429, 500, 502, 503, 504}
for _name in ("httpx2", "httpcore2"):
    logging.getLogger(_name).setLevel(logging.WARNING)  # they log whole URLs, whose parameters are values of rows


@dataclass(frozen=True)
class Answer:
    """What a service answered; `next` is where its Link header says that the next page is."""

    status: int
    body: bytes
    next: str | None = None


class WebClient:
    """Asks one service; `sleep` and `monotonic` are the waits and the clock of retries."""

    def __init__(
        self,
        service: Service,
        paths: Paths,
        *,
        sleep: Callable[[float], object] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._http = extra("httpx2", "http")
        self._service, self._paths = service, paths
        self._sleep, self._monotonic = sleep, monotonic
        self._login = ServiceLogin(service.auth, paths, self._asked, monotonic)
        oauth = service.auth.oauth if service.auth is not None else None
        try:
            trusted: ssl.SSLContext | bool = False
            if any(url.startswith("https:") for url in (service.url, oauth.token_url if oauth else "")):
                trusted = ssl.create_default_context(cafile=paths.path(service.ca_file) if service.ca_file else None)
        except OSError as error:
            raise WebRefusedError(f"ca_file cannot be read: {error.strerror}", remedy="name a PEM file") from error
        # Without the environment: its proxies and .netrc would see logins, or give others.
        self._client = self._http.Client(verify=trusted, timeout=service.timeout_s, trust_env=False)

    def get(self, url: str, params: Mapping[str, str]) -> Answer:
        """What the service answers, after retries; raises WebUnavailableError or WebRefusedError."""
        return self._retried(lambda: self._followed(url, params))

    def post(self, url: str, body: bytes, headers: Callable[[], Mapping[str, str]]) -> Answer:
        """As `get`; the headers are made for each attempt."""
        return self._retried(lambda: self._once("POST", url, {}, headers(), body))

    def close(self) -> None:
        """Disconnect."""
        self._client.close()

    def same_host(self, url: str, target: str) -> str:
        """The URL to which `target` leads from `url`; raises WebRefusedError if it is another host's."""
        joined = urljoin(url, target)
        if origin(joined) != origin(self._service.url):
            raise WebRefusedError(
                "the service leads to another host", remedy="write that host's address, if it is right"
            )
        return joined

    def _retried(self, ask: Callable[[], Answer]) -> Answer:
        pause_s = FIRST_PAUSE_S
        for attempt in range(ATTEMPTS):
            try:
                return ask()
            except _Busy as busy:
                wait_s = pause_s if busy.wait_s is None else busy.wait_s
                if attempt == ATTEMPTS - 1 or wait_s > LAST_PAUSE_S:
                    message = f"{origin(self._service.url)}: {busy}"
                    raise WebUnavailableError(message, wait_s=busy.wait_s or 0.0) from busy.__cause__
                self._sleep(wait_s)
                pause_s = min(LAST_PAUSE_S, 2 * pause_s)
        raise AssertionError("the last attempt returns or raises")

    def _followed(self, url: str, params: Mapping[str, str]) -> Answer:
        for _ in range(REDIRECTS + 1):
            answer = self._once("GET", url, params, {}, None)
            if answer.next is None or not 300 <= answer.status < 400:
                return answer
            url, params = self.same_host(url, answer.next), {}
        raise WebRefusedError("the service redirects again and again")

    def _once(
        self, method: str, url: str, params: Mapping[str, str], headers: Mapping[str, str], body: bytes | None
    ) -> Answer:
        answer = self._asked(method, url, params, {**headers, **self._login.headers()}, body)
        if answer.status == 401 and self._login.forget_token():
            answer = self._asked(method, url, params, {**headers, **self._login.headers()}, body)
        if answer.status >= 400 or (answer.status >= 300 and (method == "POST" or answer.next is None)):
            raise WebRefusedError(f"{origin(url)} answers {answer.status}", status=answer.status)
        return answer

    def _asked(
        self, method: str, url: str, params: Mapping[str, str], headers: Mapping[str, str], body: bytes | None
    ) -> Answer:
        started, limit = self._monotonic(), self._service.max_bytes
        asked = self._client.build_request(method, _asking(url, params), headers=headers, content=body)
        try:
            response = self._client.send(asked, stream=True, follow_redirects=False)
            try:
                if response.status_code in _BUSY:
                    raise _Busy(f"answers {response.status_code}", _retry_after(response.headers.get("retry-after")))
                data = bytearray()
                for part in response.iter_bytes():
                    data += part
                    if len(data) > limit:
                        raise WebRefusedError(f"an answer of more than {limit} bytes", remedy="ask for smaller pages")
                    if self._monotonic() - started > self._service.timeout_s:
                        raise _Busy(f"no whole answer within {self._service.timeout_s:g} s")
            finally:
                response.close()
        except (self._http.InvalidURL, self._http.UnsupportedProtocol) as error:
            raise WebRefusedError("the service leads to what is not an address") from error
        except (self._http.RequestError, self._http.StreamError) as error:
            if isinstance(_root(error), ssl.SSLCertVerificationError):
                message = f"{origin(url)}: no authority vouches for its certificate"
                raise WebRefusedError(message, remedy="name its authority's file as `ca_file`") from None
            raise _Busy(f"no answer ({type(error).__name__})") from error
        link = response.links.get("next", {}).get("url")
        return Answer(response.status_code, bytes(data), response.headers.get("location") or link)


class _Busy(Exception):
    """The service may do it later, after so many seconds if it says so."""

    def __init__(self, reason: str, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


def _asking(url: str, params: Mapping[str, str]) -> str:
    """The URL with these parameters, in place of those of the same name that it has."""
    if not params:
        return url
    parts = urlsplit(url)
    kept = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] not in params]
    return urlunsplit(parts._replace(query=urlencode([*kept, *params.items()])))


def _retry_after(value: str | None) -> float | None:
    """The seconds that a Retry-After header asks for."""
    if value is None:
        return None
    try:
        if value.strip().isdecimal():
            return float(value)
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def _root(error: BaseException) -> Any:
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return error
