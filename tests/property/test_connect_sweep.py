"""Whatever happens to a table between any two steps of its source, what is published ends as what is in the table."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.connect.source import Deleted, Page, Source
from exchange.connect.testing import apply
from tests.rigs.keyed import Cars, read

SERIALS = st.integers(0, 30)
CHANGES = st.tuples(st.sampled_from(["put", "delete", "rename"]), SERIALS, SERIALS)
# What the connector does: publish a page, wait until it compares again, die before or after a page is committed.
STEPS = st.sampled_from(["page"] * 12 + ["wait", "die", "lose"])


class Connector:
    """A source that goes on page by page, and what it has published: each row's events in order."""

    def __init__(self, cars: Cars) -> None:
        self.cars = cars
        self.progress: dict[str, bytes] = {}
        self.events: dict[int, list[str]] = {}
        self._source: Source | None = None
        self._pages: Iterator[Page] = iter(())

    def step(self, step: str) -> bool:
        """Whether there was a page."""
        if self._source is None:
            self._source = self.cars.table.source()
            self._source.open(dict(self.progress))
        if step == "wait":
            self.cars.table.now += 3600
            return True
        if step == "die":
            self.die()
            return True
        page = next(self._pages, None)
        if page is None:
            self._pages = iter(self._source.pages())
            page = next(self._pages, None)
        if step == "lose":
            self.die()
        elif page is not None:
            self._commit(read(page))
        return page is not None or not self._settled()

    def die(self) -> None:
        if self._source is not None:
            self._source.close()
        self._source, self._pages = None, iter(())

    def _settled(self) -> bool:
        return self._source is not None and self._source.settled()

    def _commit(self, page: Page) -> None:
        for row in page.rows:
            gone = isinstance(row, Deleted)
            serial = self.cars.serial(row.row if isinstance(row, Deleted) else row)  # type: ignore[arg-type]
            self.events.setdefault(serial, []).append("gone" if gone else "row")
        apply(self.progress, page.progress)


@settings(max_examples=settings().max_examples // 2)
@given(st.lists(st.one_of(CHANGES, STEPS), min_size=20, max_size=120))
def test_what_is_published_ends_as_the_table(history: list[str | tuple[str, int, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        cars = Cars(Path(folder), brake=1.0, lookback_s=1000)
        cars.table.keys_at_once = 5
        connector = Connector(cars)
        for happens in [*history, "die"]:
            if isinstance(happens, str):
                connector.step(happens)
            else:
                change(cars, *happens)
        while connector.step("page"):
            pass
        connector.die()
        there = {serial for serial, events in connector.events.items() if events[-1] == "row"}
        assert there == {cars.serial({"vin": row[0]}) for row in cars.table.sql.execute("SELECT vin FROM car")}
        for events in connector.events.values():
            assert events[0] == "row", "a row is deleted that was never published"
            assert ("gone", "gone") not in pairwise(events), "a row is deleted twice"
        cars.table.sql.close()


def change(cars: Cars, kind: str, serial: int, other: int) -> None:
    match kind:
        case "put":
            cars.add([serial])
        case "delete":
            cars.delete([serial])
        case "rename":
            cars.delete([other])
            cars.table.sql.execute("UPDATE car SET vin = ? WHERE vin = ?", [f"v{other:04d}", f"v{serial:04d}"])
            if cars.table.sql.execute("SELECT 1 FROM car WHERE vin = ?", [f"v{other:04d}"]).fetchone():
                cars.add([other])
