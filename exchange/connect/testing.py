"""What every source must do: a test suite to subclass, also for a source that a department wrote.

class TestNotices(SourceConformance):
    @pytest.fixture
    def origin(self, tmp_path):
        return NoticesOrigin(tmp_path)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping

from exchange.connect.source import Bad, Deleted, Encoded, Page, Row, Source

MAX_PROGRESS_BYTES = 900_000
MAX_PAGES = 200


class Origin(ABC):
    """What a source reads from, controlled by the test; each row contains a number that identifies it."""

    rows_at_a_time = 10

    @abstractmethod
    def source(self) -> Source:
        """A new source object, as after a restart, that yields small pages."""

    @abstractmethod
    def add(self, serials: Iterable[int]) -> None:
        """Create rows with these numbers, newer than all before."""

    @abstractmethod
    def serial(self, row: Row) -> int:
        """The number in a row that came out, also in the key of a deleted one."""

    def delete(self, serials: Iterable[int]) -> None:
        """Delete the rows with these numbers; only for `DeletionConformance`."""
        raise NotImplementedError


class Journal:
    """Takes the place of Kafka: accepts pages with their progress, whole or not at all."""

    def __init__(self) -> None:
        self.serials: list[int] = []
        self.deleted: list[int] = []
        self.there: set[int] = set()
        self.bad: list[str] = []
        self.progress: dict[str, bytes] = {}

    def commit(self, page: Page, origin: Origin) -> None:
        """Accept one page."""
        assert not page.places or len(page.places) == len(page.rows), "a place for each row, or none"
        for row in page.rows:
            assert not isinstance(row, Encoded), "a source yields rows; the exchange encodes them"
            if isinstance(row, Bad):
                self.bad.append(row.reason)
            elif isinstance(row, Deleted):
                self.deleted.append(origin.serial(row.row))
                self.there.discard(self.deleted[-1])
            else:
                self.serials.append(origin.serial(row))
                self.there.add(self.serials[-1])
        apply(self.progress, page.progress)


def apply(progress: dict[str, bytes], change: Mapping[str, bytes | None]) -> None:
    """Change progress as the cursor topic does."""
    for name, value in change.items():
        if value is None:
            progress.pop(name, None)
        else:
            assert len(value) <= MAX_PROGRESS_BYTES, "progress must fit into a record"
            progress[name] = value


def drain(origin: Origin, journal: Journal, *, pages: int | None = None, lose_last: bool = False) -> int:
    """Run a source from the journal's progress until it has nothing more, or for so many pages; return how many.

    `lose_last`: the last page is read, but the process dies before it is committed.
    """
    source = origin.source()
    taken = 0
    try:
        source.open(dict(journal.progress))
        while True:
            before = taken
            sweep = source.pages()
            for page in sweep:
                taken += 1
                assert taken < MAX_PAGES, "the source has no end"
                if taken == pages and lose_last:
                    return taken
                journal.commit(page, origin)
                if taken == pages:
                    return taken
            if taken == before:
                return taken
    finally:
        source.close()


class SourceConformance:
    """Subclass it and define the fixture `origin`; pytest then runs the tests."""

    def test_every_row_comes_once(self, origin: Origin) -> None:
        journal = Journal()
        origin.add(range(55))
        drain(origin, journal)
        assert sorted(journal.serials) == list(range(55))

    def test_nothing_comes_twice_after_a_restart(self, origin: Origin) -> None:
        journal = Journal()
        origin.add(range(55))
        drain(origin, journal)
        drain(origin, journal)
        assert sorted(journal.serials) == list(range(55))

    def test_what_is_new_comes_later(self, origin: Origin) -> None:
        journal = Journal()
        for start in (0, 25, 30):
            origin.add(range(start, start + (25 if start == 0 else 5)))
            drain(origin, journal)
        assert sorted(journal.serials) == list(range(35))

    def test_a_restart_after_any_page_goes_on_there(self, origin: Origin) -> None:
        journal = Journal()
        origin.add(range(55))
        steps = 0
        while drain(origin, journal, pages=1):
            steps += 1
            assert steps < MAX_PAGES, "the source does not get on"
        assert sorted(journal.serials) == list(range(55))

    def test_a_page_that_was_not_committed_comes_again(self, origin: Origin) -> None:
        journal = Journal()
        origin.add(range(55))
        steps = 0
        while drain(origin, journal, pages=2 if steps % 2 else 1, lose_last=steps % 2 == 0):
            steps += 1
            assert steps < MAX_PAGES, "the source does not get on"
        assert sorted(journal.serials) == list(range(55))

    def test_rows_that_come_during_a_sweep_are_not_lost(self, origin: Origin) -> None:
        journal = Journal()
        origin.add(range(30))
        source = origin.source()
        source.open({})
        for number, page in enumerate(source.pages()):
            journal.commit(page, origin)
            if number < 3:
                origin.add(range(30 + number * 5, 35 + number * 5))
        source.close()
        drain(origin, journal)
        assert sorted(journal.serials) == list(range(45))

    def test_progress_stays_small(self, origin: Origin) -> None:
        journal = Journal()
        for start in range(0, 200, 20):
            origin.add(range(start, start + 20))
            drain(origin, journal)
        assert sum(map(len, journal.progress.values())) < 20_000
        assert sorted(journal.serials) == list(range(200))


class DeletionConformance(SourceConformance):
    """As `SourceConformance`, for a source that notices deletions; its `origin` can `delete`."""

    def test_a_deletion_comes_once(self, origin: Origin) -> None:
        journal = Journal()
        origin.add(range(55))
        drain(origin, journal)
        origin.delete(range(10, 30))
        for _ in range(2):
            drain(origin, journal)
        assert sorted(journal.deleted) == list(range(10, 30))
        assert sorted(journal.serials) == list(range(55)), "a deletion brings no row again"

    def test_a_deletion_that_was_not_committed_comes_again(self, origin: Origin) -> None:
        journal = Journal()
        origin.add(range(55))
        drain(origin, journal)
        origin.delete(range(30))
        steps = 0
        while drain(origin, journal, pages=2 if steps % 2 else 1, lose_last=steps % 2 == 0):
            steps += 1
            assert steps < MAX_PAGES, "the source does not get on"
        assert sorted(journal.deleted) == list(range(30))

    def test_a_row_that_comes_back_is_there(self, origin: Origin) -> None:
        journal = Journal()
        origin.add(range(30))
        drain(origin, journal)
        for _ in range(2):
            origin.delete(range(5))
            drain(origin, journal)
            assert journal.there == set(range(5, 30))
            origin.add(range(5))
            drain(origin, journal)
            assert journal.there == set(range(30))
        assert sorted(journal.deleted) == sorted([*range(5), *range(5)])

    def test_what_changes_during_a_look_ends_as_it_is(self, origin: Origin) -> None:
        journal = Journal()
        origin.add(range(40))
        drain(origin, journal)
        origin.delete(range(25))
        source = origin.source()
        source.open(dict(journal.progress))
        for number, page in enumerate(source.pages()):
            journal.commit(page, origin)
            if number == 0:
                origin.add(range(3))
                origin.delete(range(37, 40))
        source.close()
        drain(origin, journal)
        assert journal.there == {*range(3), *range(25, 37)}
