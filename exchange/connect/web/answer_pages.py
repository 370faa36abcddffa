"""The lists of rows in an API's answers, page by page, and what JSON pointers find in them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from hashlib import blake2b
from typing import Any

from exchange.connect.config import SourceConfig
from exchange.connect.web.errors import WebRefusedError
from exchange.connect.web.web_client import WebClient


class Answers:
    """The lists of rows that an API gives, page by page."""

    def __init__(self, config: SourceConfig, client: WebClient) -> None:
        assert config.http is not None
        self._http = config.http
        self._client = client

    def of(self, params: Mapping[str, str]) -> Iterator[list[Any]]:
        """The rows of each answer to a request with these parameters, besides those of the file."""
        page, url = self._http.page, self._http.url
        asked = {**self._http.params, **params}
        if page is not None and page.size_param is not None:
            asked[page.size_param] = str(page.size)
        by = page.by if page is not None else None
        at = page.first if page is not None and by == "number" else 0
        before = b""
        while True:
            place = {str(page.param): str(at)} if page is not None and by in ("number", "offset") else {}
            answer = self._client.get(url, {**asked, **place})
            value = parsed(answer.body)
            rows = pointed(value, self._http.rows) if self._http.rows else value
            if not isinstance(rows, list):
                raise WebRefusedError(f"an answer has no list at {self._http.rows or 'its top'}")
            same = blake2b(answer.body).digest()
            if rows and same == before:
                raise WebRefusedError("the same page came twice", remedy="correct `page`: the API does not know it")
            before = same
            yield rows
            if page is None:
                return
            if by in ("number", "offset"):
                if not rows or (page.size is not None and len(rows) < page.size):
                    return
                at += 1 if by == "number" else len(rows)
            elif by == "link":
                if answer.next is None:
                    return
                url, asked = self._client.same_host(url, answer.next), {}
            else:
                token = pointed(value, str(page.token))
                if token in (None, ""):
                    return
                if type(token) not in (str, int):
                    raise WebRefusedError("a page's token is neither text nor a whole number")
                asked = {**asked, str(page.param): str(token)}


def parsed(body: bytes) -> Any:
    """The JSON of an answer; numbers with decimals keep all their digits. Raises WebRefusedError."""
    try:
        return json.loads(body.decode("utf-8-sig"), parse_float=Decimal)
    except (ValueError, ArithmeticError, RecursionError):
        raise WebRefusedError("an answer is not JSON") from None


def has(value: Any, name: str) -> bool:
    """Whether a field, or what a JSON pointer points to, is there."""
    found = object()
    return pointed(value, name, found) is not found


def pointed(value: Any, name: str, default: Any = None) -> Any:
    """The value of a field, or of a JSON pointer (RFC 6901), if the name begins with a slash.

    >>> pointed({"a": {"b": [1, 2]}}, "/a/b/1")
    2
    """
    for part in name.split("/")[1:] if name.startswith("/") else [name]:
        key = part.replace("~1", "/").replace("~0", "~") if name.startswith("/") else part
        if isinstance(value, Mapping) and key in value:
            value = value[key]
        elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        else:
            return default
    return value
