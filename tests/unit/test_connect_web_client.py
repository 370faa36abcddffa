"""The client for web services: logins, retries, limits, redirects and certificates, against real servers."""

from __future__ import annotations

import base64
import gzip
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from exchange.broker.certificates import Certificates
from exchange.connect import extras
from exchange.connect.database import Paths
from exchange.connect.extras import MissingExtraError
from exchange.connect.web.errors import WebRefusedError, WebUnavailableError
from exchange.connect.web.web_client import WebClient
from exchange.connect.web.web_config import Pull, Service
from tests.rigs.web import Reply, Web, serving


@pytest.fixture
def web() -> Iterator[Web]:
    with serving() as made:
        yield made


class Patient:
    """A client that notes its waits in place of waiting."""

    def __init__(self, web: Web, folder: Path, **config: Any) -> None:
        self.waits: list[float] = []
        self.now = 0.0
        service = Service.model_validate({"url": web.url, **config})
        self.client = WebClient(service, Paths(folder, folder), sleep=self._sleep, monotonic=lambda: self.now)
        self.url = web.url

    def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)

    def get(self, path: str = "/", **params: str) -> bytes:
        return self.client.get(self.url + path, params).body


@pytest.mark.parametrize("status", [429, 500, 503])
def test_it_tries_again_less_and_less_often(web: Web, tmp_path: Path, status: int) -> None:
    patient, statuses = Patient(web, tmp_path), iter([status, status, status, 200])
    web.answer = lambda asked: Reply(b"secret", next(statuses))
    assert patient.get() == b"secret"
    assert patient.waits == [0.5, 1, 2]
    web.answer = lambda asked: Reply(b"secret", status)
    with pytest.raises(WebUnavailableError) as raised:
        patient.get()
    assert str(status) in raised.value.message
    assert "secret" not in str(raised.value)


def test_it_waits_as_long_as_the_service_asks(web: Web, tmp_path: Path) -> None:
    patient = Patient(web, tmp_path)
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    replies = iter([Reply(b"", 429, {"Retry-After": "7"}), Reply(b"", 503, {"Retry-After": soon}), Reply(b"x")])
    web.answer = lambda asked: next(replies)
    assert patient.get() == b"x"
    assert patient.waits[0] == 7
    assert 20 < patient.waits[1] <= 30
    web.answer = lambda asked: Reply(b"", 429, {"Retry-After": "3600"})
    with pytest.raises(WebUnavailableError) as raised:
        patient.get()
    assert raised.value.wait_s == 3600
    assert len(patient.waits) == 2, "for an hour, the worker waits, not the client"


def test_a_refusal_is_not_asked_again(web: Web, tmp_path: Path) -> None:
    web.answer = lambda asked: Reply(b"secret", 403)
    with pytest.raises(WebRefusedError, match="answers 403") as raised:
        Patient(web, tmp_path).get()
    assert "secret" not in str(raised.value)
    assert len(web.asked) == 1


def test_a_service_that_is_not_there_is_unavailable(web: Web, tmp_path: Path) -> None:
    patient = Patient(web, tmp_path)
    patient.url = "http://127.0.0.1:1"
    with pytest.raises(WebUnavailableError, match="ConnectError"):
        patient.get()


def test_redirects_stay_on_the_host(web: Web, tmp_path: Path) -> None:
    patient = Patient(web, tmp_path)
    web.answer = lambda asked: Reply(b"x") if asked.path == "/b" else Reply(b"", 302, {"Location": "/b?c=d"})
    assert patient.get("/a", q="1") == b"x"
    assert web.asked[-1].params == {"c": "d"}
    with serving() as other:
        for target in (f"{other.url}/b", f"{web.url.replace('127.0.0.1', 'localhost')}/b"):
            web.answer = lambda asked, target=target: Reply(b"", 307, {"Location": target})  # type: ignore[misc]
            with pytest.raises(WebRefusedError, match="another host"):
                patient.get()
        assert other.asked == []
    web.answer = lambda asked: Reply(b"", 302, {"Location": "/a"})
    with pytest.raises(WebRefusedError, match="again and again"):
        patient.get()


def test_a_large_answer_is_refused_packed_too(web: Web, tmp_path: Path) -> None:
    patient = Patient(web, tmp_path, max_bytes=1000)
    web.answer = lambda asked: Reply(bytes(1000))
    assert len(patient.get()) == 1000
    for reply in (Reply(bytes(1001)), Reply(gzip.compress(bytes(10_000_000)), headers={"Content-Encoding": "gzip"})):
        web.answer = lambda asked, reply=reply: reply  # type: ignore[misc]
        with pytest.raises(WebRefusedError, match="more than 1000 bytes"):
            patient.get()


def test_parameters_take_the_place_of_those_in_the_url(web: Web, tmp_path: Path) -> None:
    Patient(web, tmp_path).get("/?a=1&b=2", b="ü &=")
    assert web.asked[0].params == {"a": "1", "b": "ü &="}


@pytest.mark.parametrize(
    ("auth", "header", "value"),
    [
        ({"bearer_file": "s"}, "authorization", "Bearer hidden"),
        ({"header": {"name": "X-Key", "file": "s"}}, "x-key", "hidden"),
        (
            {"basic": {"user": "u", "password_file": "s"}},
            "authorization",
            "Basic " + base64.b64encode(b"u:hidden").decode(),
        ),
    ],
)
def test_secrets_come_from_files(web: Web, tmp_path: Path, auth: Any, header: str, value: str) -> None:
    with pytest.raises(WebRefusedError, match="s cannot be read"):
        Patient(web, tmp_path, auth=auth).get()
    (tmp_path / "s").write_text("hidden\nmore\n")
    Patient(web, tmp_path, auth=auth).get()
    assert web.asked[-1].headers[header] == value


def test_oauth_takes_a_token_and_a_new_one_when_it_is_due_or_withdrawn(web: Web, tmp_path: Path) -> None:
    (tmp_path / "s").write_text("hidden")
    oauth = {"token_url": f"{web.url}/token", "client_id": "me", "secret_file": "s", "scope": "read"}
    patient, tokens, withdrawn = Patient(web, tmp_path, auth={"oauth": oauth}), iter("abc"), set[str]()

    def answer(asked: Any) -> Reply:
        if asked.path == "/token":
            assert asked.body == b"grant_type=client_credentials&scope=read"
            assert asked.headers["authorization"] == "Basic " + base64.b64encode(b"me:hidden").decode()
            return Reply({"access_token": next(tokens), "expires_in": 100})
        return Reply(b"", 401) if asked.headers["authorization"] in withdrawn else Reply(b"x")

    web.answer = answer
    assert [patient.get(), patient.get()] == [b"x", b"x"]
    withdrawn.add("Bearer a")
    assert patient.get() == b"x"
    patient.now = 71.0
    assert patient.get() == b"x"
    used = [asked.headers["authorization"][-1] for asked in web.asked if asked.path == "/"]
    assert used == ["a", "a", "a", "b", "c"]
    web.answer = lambda asked: Reply(b"no")
    with pytest.raises(WebRefusedError, match="gives no token"):
        Patient(web, tmp_path, auth={"oauth": oauth}).get()


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path / "tls", "web")
    certificates.renew()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificates.broker)
    with serving(tls) as web:
        web.answer = lambda asked: Reply(b"x")
        with pytest.raises(WebRefusedError, match="no authority vouches"):
            Patient(web, tmp_path).get()
        assert Patient(web, tmp_path, ca_file=str(certificates.authority)).get() == b"x"
    with pytest.raises(WebRefusedError, match="ca_file"):
        Patient(web, tmp_path, ca_file="none.pem")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"url": "http://api.example/x"}, "plain http is for this machine only"),
        ({"url": "ftp://x"}, "write https"),
        ({"url": "https://u:p@x/"}, "login goes into `auth`"),
        ({"url": "https://x", "auth": {}}, "exactly one of bearer_file, basic, header, oauth"),
        ({"url": "https://x", "page": {"by": "number"}}, "`param` goes with number"),
        ({"url": "https://x", "page": {"by": "token", "param": "t"}}, "`token` goes with"),
        ({"url": "https://x", "since": None}, "or `mode: full`"),
        ({"url": "https://x", "mode": "full"}, "or `mode: full`"),
    ],
)
def test_the_file_says_what_fits_together(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Pull.model_validate({"since": {"param": "from", "field": "at"}, **config})


def test_a_missing_library_says_how_it_is_installed(web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError

    monkeypatch.setattr(extras, "import_module", missing)
    with pytest.raises(MissingExtraError, match=r"pip install 'exchange\[http\]'"):
        Patient(web, tmp_path)
