"""The keys of `http:` and `webhook:` in connector.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from exchange.contract.base import Model

LOGINS = ("bearer_file", "basic", "header", "oauth")


def _safe(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise ValueError("write https://host/path")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise ValueError("a URL with neither login nor #fragment is due; the login goes into `auth`")
    if parts.scheme == "http" and not _is_this_machine(parts.hostname):
        raise ValueError("plain http is for this machine only: write https://")
    return url


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


Url = Annotated[str, AfterValidator(_safe)]
Pointer = Annotated[
    str, Field(pattern=r"^(/([^~/]|~[01])*)*$", description="A JSON pointer (RFC 6901), as /data/items.")
]


class Basic(Model):
    """A user and a password."""

    user: str
    password_file: str


class LoginHeader(Model):
    """A header with a secret in it."""

    name: str = Field(pattern=r"^[A-Za-z0-9-]+$")
    file: str


class OAuth(Model):
    """OAuth 2 client credentials."""

    token_url: Url
    client_id: str
    secret_file: str
    scope: str | None = None


class WebLogin(Model):
    """How the connector logs in to a web service; secrets are the first lines of files."""

    bearer_file: str | None = None
    basic: Basic | None = None
    header: LoginHeader | None = None
    oauth: OAuth | None = None

    @model_validator(mode="after")
    def _one(self) -> WebLogin:
        if sum(getattr(self, name) is not None for name in LOGINS) != 1:
            raise ValueError(f"give exactly one of {', '.join(LOGINS)}")
        return self


class Service(Model):
    """A web service, and how patient the connector is with it."""

    url: Url
    auth: WebLogin | None = None
    ca_file: str | None = Field(default=None, description="PEM file of its authority, if the system's are not meant.")
    timeout_s: float = Field(default=60, gt=0, le=3600, description="The longest that one answer may take.")
    max_bytes: int = Field(default=64 << 20, ge=1, description="The largest answer, unpacked.")


class Paging(Model):
    """How one asks for the rows that follow."""

    by: Literal["number", "offset", "token", "link"]
    param: str | None = Field(
        default=None, description="The parameter with the page's number, the offset or the token."
    )
    first: int = Field(default=1, ge=0, description="The number of the first page.")
    size: int | None = Field(default=None, ge=1, description="Rows of a page, if one asks for so many.")
    size_param: str | None = Field(default=None, description="The parameter that asks for so many.")
    token: Pointer | None = Field(default=None, description="Where an answer has the token of the next page.")

    @model_validator(mode="after")
    def _fitting(self) -> Paging:
        if (self.param is None) != (self.by == "link"):
            raise ValueError("`param` goes with number, offset and token, which need it")
        if (self.token is None) == (self.by == "token"):
            raise ValueError("`token` goes with `by: token`, which needs it")
        if self.size_param is not None and self.size is None:
            raise ValueError("`size_param` needs `size`")
        return self


class Since(Model):
    """What an API orders its rows by, and how one asks for the rows from a value on, that value included."""

    param: str
    field: str = Field(description="The rows' field; it never gets less from row to row.")
    start: str | int | None = Field(default=None, description="The first value to ask for; absent: from the beginning.")


class Pull(Service):
    """An API that gives rows as JSON."""

    mode: Literal["changes", "full"] = Field(
        default="changes", description="full: all rows are asked for each time, and what is missing is deleted."
    )
    rows: Pointer = Field(default="", description="Where an answer has the list of rows; absent: it is the list.")
    params: Mapping[str, str] = Field(default_factory=dict, description="Parameters that each request has.")
    page: Paging | None = Field(default=None, description="Absent: an answer has all rows that were asked for.")
    since: Since | None = None

    @model_validator(mode="after")
    def _position(self) -> Pull:
        if (self.since is None) == (self.mode == "changes"):
            raise ValueError("give `since: {param: …, field: …}`, or `mode: full`")
        return self


class Webhook(Service):
    """A web address that takes records as CloudEvents."""

    secret_file: str = Field(description="File whose first line is the secret that signs requests; whsec_… is base64.")
