"""A source that asks an API for rows: what changed since a value, which is its progress."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import blake2b
from typing import Any

from exchange.connect.config import SourceConfig
from exchange.connect.published import Leftovers, forgotten, others
from exchange.connect.soft_delete import deletes
from exchange.connect.source import Bad, Deleted, Page, Progress, Row, Source
from exchange.connect.web.web_client import WebClient, WebRefusedError
from exchange.connect.web.web_config import Since
from exchange.connect.window import ProgressError

NOTED = "since"
TAG_BYTES = 8
AT_ONE_VALUE = 100_000  # rows that may share one value of the field: their tags are progress


class PullSource(Source):
    """Yields rows in the order of `since.field`, each version once.

    It asks for the last value again, because rows with that value can still come, and leaves out those that it had, by
    a tag of their content. Fields are filled from the columns `wanted` (None: a transform may use any); a row that
    lacks one that is not optional is rejected, so that no default takes a good value's place.
    """

    def __init__(self, config: SourceConfig, client: WebClient, wanted: Sequence[str] | None) -> None:
        super().__init__({})
        assert config.http is not None
        self._config, self._http = config, config.http
        self._client = client
        self._answers = Answers(config, client)
        self._wanted = wanted
        self._needed = [name for name in wanted or () if name not in config.optional]
        self._deletes = deletes(config.deleted)
        self._last: str | int | None = None
        self._tags: set[bytes] = set()

    def open(self, progress: Progress) -> None:
        own = others(progress)
        self._leftovers = Leftovers(forgotten(progress) | dict.fromkeys(name for name in own if name != NOTED))
        self._last, self._tags = _noted(own.get(NOTED))

    def close(self) -> None:
        self._client.close()

    def look(self) -> Page | None:
        """The rows of the first answer, as a page; None if there are none."""
        self._last = self._http.since.start if self._http.since else None
        rows = next(self._answers.of({}))
        made = [self._made(row) for row in rows[: self._config.page_rows]]
        return Page(made, {}) if made else None

    def pages(self) -> Iterator[Page]:
        assert self._http.since is not None
        yield from self._leftovers.pages()
        began = datetime.now(UTC).isoformat(timespec="seconds")
        number, is_new = 0, True
        while is_new:
            is_new = False
            for rows in self._answers.of(self._since(self._http.since)):
                number += 1
                for page in self._new(rows, f"pull of {began}, answer {number}, row"):
                    yield page
                    is_new = True
                if is_new:
                    break  # pages shift if a row moves to the end: what follows is asked for from the last value on

    def _since(self, since: Since) -> dict[str, str]:
        value = since.start if self._last is None else self._last
        return {} if value is None else {since.param: str(value)}

    def _new(self, rows: Sequence[Any], place: str) -> Iterator[Page]:
        """The rows of an answer that were not published, and how far the source has then come."""
        assert self._http.since is not None
        held: list[Row | Deleted | Bad] = []
        places: list[str] = []
        for at, row in enumerate(rows, 1):
            value = pointed(row, self._http.since.field) if isinstance(row, Mapping) else None
            if type(value) is not str and type(value) is not int:
                raise WebRefusedError(f"{place} {at}: no text or whole number in {self._http.since.field}")
            tag = tagged(row)
            if self._last is not None and _order(value) < _order(self._last):
                raise WebRefusedError(
                    f"{place} {at}: {self._http.since.field} is less than before",
                    remedy="have the API order its rows by that field, or use `mode: full`",
                )
            if value != self._last:
                self._last, self._tags = value, set()
            elif tag in self._tags:
                continue
            self._tags.add(tag)
            if len(self._tags) > AT_ONE_VALUE:
                raise WebRefusedError(f"more than {AT_ONE_VALUE} rows of one value of {self._http.since.field}")
            held.append(self._made(row))
            places.append(f"{place} {at}")
            if len(held) >= self._config.page_rows:
                yield Page(held, self._progress(), places)
                held, places = [], []
        if held:
            yield Page(held, self._progress(), places)

    def _made(self, row: Any) -> Row | Deleted | Bad:
        """The row that an object in an answer is."""
        made = self._columns(row)
        if made is None:
            return Bad("not an object")
        if missing := sorted(name for name in self._needed if name not in made):
            return Bad(f"no {', '.join(missing)}; if it may be missing, name it under `optional`")
        return Deleted(made) if self._deletes(made) else made

    def _columns(self, row: Any) -> Row | None:
        """The object's fields, and what the columns that are pointers point to; None if it is no object."""
        if not isinstance(row, Mapping):
            return None
        return dict(row) | {name: pointed(row, name) for name in self._wanted or () if has(row, name)}

    def _progress(self) -> dict[str, bytes | None]:
        return {NOTED: json.dumps(self._last).encode() + b"\n" + b"".join(sorted(self._tags))}


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


def tagged(row: Any) -> bytes:
    """A tag of a row's content."""
    text = json.dumps(row, sort_keys=True, default=str)
    return blake2b(text.encode(errors="surrogatepass"), digest_size=TAG_BYTES).digest()


def _order(value: str | int) -> tuple[int, int | str]:
    """Numbers by size, also as text; other text by its characters."""
    if isinstance(value, int) or (value.isascii() and value.isdecimal() and len(value) < 40):
        return 0, int(value)
    return 1, value


def _noted(value: bytes | None) -> tuple[str | int | None, set[bytes]]:
    if value is None:
        return None, set()
    head, _, tags = value.partition(b"\n")
    try:
        last = json.loads(head)
    except ValueError as error:
        raise ProgressError("the progress of a pull is not readable") from error
    return last, {tags[at : at + TAG_BYTES] for at in range(0, len(tags), TAG_BYTES)}
