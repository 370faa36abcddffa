"""A source that asks an API for rows: what changed since a value, which is its progress."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

from exchange.connect.config import SourceConfig
from exchange.connect.published import Leftovers, forgotten, others
from exchange.connect.soft_delete import deletes
from exchange.connect.source import Bad, Deleted, Page, Progress, Row, Source
from exchange.connect.web.answer_pages import Answers, has, pointed
from exchange.connect.web.errors import WebRefusedError
from exchange.connect.web.web_client import WebClient
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
