"""Rows that are pulled over HTTP from a real server: each version once, and deletions where all rows are asked for."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from exchange.connect.config import SourceConfig
from exchange.connect.database import Paths
from exchange.connect.roll_call import ManyDeletionsError
from exchange.connect.source import Bad, Page, Row, Source
from exchange.connect.testing import DeletionConformance, Journal, Origin, SourceConformance, drain
from exchange.connect.web.answer_pages import pointed
from exchange.connect.web.errors import WebRefusedError
from exchange.connect.web.pulled import pulled
from tests.rigs import keyed
from tests.rigs.web import Api, Asked, Reply, Web, serving

PAGES: dict[str, dict[str, Any] | None] = {
    "number": {"by": "number", "param": "page"},
    "sized": {"by": "number", "param": "page", "size": 10, "size_param": "rows"},
    "offset": {"by": "offset", "param": "skip"},
    "token": {"by": "token", "param": "token", "token": "/next"},
    "link": {"by": "link"},
    "none": None,
}
COLUMNS = ("vin", "year", "state")


@pytest.fixture
def web() -> Iterator[Web]:
    with serving() as made:
        yield made


class Pulled(Origin):
    """An API of cars, and the source that pulls them."""

    def __init__(self, web: Web, folder: Path, page: str, *, step: int = 1, **config: Any) -> None:
        self.web, self._step = web, step
        self._paths = Paths(folder, folder)
        by = PAGES[page]
        self.api = Api(by["by"] if by else None, size=10)
        web.answer = self.api.answer
        http = {"url": f"{web.url}/cars", "rows": "/data/items", "page": by, "since": {"param": "from", "field": "at"}}
        http |= config.pop("http", {})
        self.config = SourceConfig.model_validate({"subject": "police.car", "http": http, "page_rows": 10, **config})

    def source(self) -> Source:
        return pulled(self.config, self._paths, COLUMNS, None)

    def add(self, serials: Iterable[int]) -> None:
        for serial in serials:
            self.api.put(serial, step=self._step)

    def serial(self, row: Row) -> int:
        return int(row["vin"][1:])


class Full(Pulled):
    """As `Pulled`, with all rows asked for each time."""

    def __init__(self, web: Web, folder: Path, page: str, **config: Any) -> None:
        super().__init__(web, folder, page, http={"since": None, "mode": "full"}, **{"brake": 1.0, **config})

    def source(self) -> Source:
        return keyed.Readable(pulled(self.config, self._paths, COLUMNS, keyed.encoder()))

    def delete(self, serials: Iterable[int]) -> None:
        for serial in serials:
            del self.api.rows[serial]


@pytest.fixture(params=sorted(PAGES))
def page(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class TestSince(SourceConformance):
    @pytest.fixture
    def origin(self, web: Web, tmp_path: Path, page: str) -> Origin:
        return Pulled(web, tmp_path, page)


class TestSinceOfManyRowsAtOneTime(SourceConformance):
    @pytest.fixture(params=sorted(set(PAGES) - {"none"}))  # without pages, no more can be had than one answer gives
    def origin(self, web: Web, tmp_path: Path, request: pytest.FixtureRequest) -> Origin:
        return Pulled(web, tmp_path, request.param, step=0)


class TestFull(DeletionConformance):
    @pytest.fixture(params=sorted(set(PAGES) - {"none"}))
    def origin(self, web: Web, tmp_path: Path, request: pytest.FixtureRequest) -> Origin:
        return Full(web, tmp_path, request.param)


def pages(origin: Pulled, progress: dict[str, bytes]) -> list[Page]:
    source = origin.source()
    try:
        source.open(dict(progress))
        return list(source.pages())
    finally:
        source.close()


def test_a_row_that_changes_meanwhile_takes_no_other_with_it(web: Web, tmp_path: Path, page: str) -> None:
    origin = Pulled(web, tmp_path, page)
    origin.add(range(30))
    source, journal = origin.source(), Journal()
    source.open({})
    for number, found in enumerate(source.pages()):
        journal.commit(found, origin)
        if number == 0:
            origin.add(range(5))  # they move to the end, so that pages by number shift
    source.close()
    drain(origin, journal)
    assert journal.there == set(range(30))


def test_rows_without_order_are_refused(web: Web, tmp_path: Path) -> None:
    origin = Pulled(web, tmp_path, "none")
    web.answer = lambda asked: Reply({"data": {"items": [{"at": 2}, {"at": 1}]}})
    with pytest.raises(WebRefusedError, match="row 2: at is less than before"):
        pages(origin, {})
    web.answer = lambda asked: Reply({"data": {"items": [{"at": None}]}})
    with pytest.raises(WebRefusedError, match="no text or whole number in at"):
        pages(origin, {})


@pytest.mark.parametrize("name", ["number", "token"])
def test_an_api_that_does_not_know_the_page_is_refused(web: Web, tmp_path: Path, name: str) -> None:
    origin = Full(web, tmp_path, name)
    web.answer = lambda asked: Reply({"data": {"items": [{"vin": "v1", "year": 1, "state": None}]}, "next": "x"})
    with pytest.raises(WebRefusedError, match="the same page came twice"):
        pages(origin, {})


def test_a_row_that_lacks_a_column_is_rejected_and_an_optional_one_may(web: Web, tmp_path: Path) -> None:
    origin = Pulled(web, tmp_path, "none")
    web.answer = lambda asked: Reply({"data": {"items": [{"at": 1, "vin": "secret", "year": 1}]}})
    [page] = pages(origin, {})
    assert page.rows == [Bad("no state; if it may be missing, name it under `optional`")]
    assert page.place(0).endswith("answer 1, row 1")
    origin = Pulled(web, tmp_path, "none", optional=["state"])
    web.answer = lambda asked: Reply({"data": {"items": [{"at": 1, "vin": "v1", "year": 1}]}})
    [page] = pages(origin, {})
    assert page.rows == [{"at": 1, "vin": "v1", "year": 1}]


def test_what_a_full_pull_cannot_name_keeps_all_rows(web: Web, tmp_path: Path) -> None:
    origin, journal = Full(web, tmp_path, "link"), Journal()
    origin.add(range(30))
    drain(origin, journal)
    origin.delete(range(5))
    origin.api.rows[99] = {"vin": None, "year": 1, "state": "on", "at": 99}
    for _ in range(2):
        drain(origin, journal)
    assert journal.deleted == []
    assert len(journal.bad) == 2, "the row, and that nothing is deleted, are said once"
    del origin.api.rows[99]
    drain(origin, journal)
    assert sorted(journal.deleted) == list(range(5))


def test_a_great_loss_waits_for_a_person_and_ends_when_the_rows_are_back(web: Web, tmp_path: Path) -> None:
    origin, journal = Full(web, tmp_path, "link", brake=0.05), Journal()
    origin.add(range(50))
    drain(origin, journal)
    kept = dict(origin.api.rows)
    origin.delete(range(40))
    for _ in range(2):
        with pytest.raises(ManyDeletionsError, match="40 of 50"):
            drain(origin, journal)
    origin.api.rows |= kept
    drain(origin, journal)
    assert journal.deleted == []
    assert sorted(journal.serials) == list(range(50))


def test_a_full_pull_keeps_few_entries(web: Web, tmp_path: Path) -> None:
    origin, journal = Full(web, tmp_path, "link"), Journal()
    for number in range(150):
        origin.add([number])
        drain(origin, journal)
    assert sorted(journal.serials) == list(range(150))
    assert len([name for name in journal.progress if name.startswith("versions/")]) < 70


def test_columns_may_be_pointers() -> None:
    row = {"a/b": 1, "a": {"b": [10, {"c~d": 2}]}}
    assert pointed(row, "a/b") == 1
    assert pointed(row, "/a~1b") == 1
    assert pointed(row, "/a/b/1/c~0d") == 2
    assert pointed(row, "/a/x", "none") == "none"


def test_nothing_of_a_request_is_logged(web: Web, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("httpx2").propagate = True
    origin = Pulled(web, tmp_path, "link")
    origin.add(range(20))
    drain(origin, Journal())
    assert "from=" not in caplog.text
    assert "v1" not in caplog.text


def test_progress_is_asked_from(web: Web, tmp_path: Path) -> None:
    origin, journal = Pulled(web, tmp_path, "none", http={"params": {"kind": "all"}}), Journal()
    origin.add(range(5))
    drain(origin, journal)
    asked: list[Asked] = web.asked
    assert asked[0].params == {"kind": "all"}
    assert asked[-1].params == {"kind": "all", "from": "5"}
