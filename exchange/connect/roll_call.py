"""What a source does with its memory of published rows: deletions of what is gone, or first a question to a person."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from itertools import islice

from exchange import metrics
from exchange.connect.config import SourceConfig
from exchange.connect.publish import Encoder
from exchange.connect.published import ANSWER, ASKED, QUESTION, PublishedRows
from exchange.connect.source import Page, Progress
from exchange.connect.window import ProgressError
from exchange.errors import ConfigError

FEW_ROWS = 20  # fewer are deleted without a question, whatever their share
_ENTRIES_AT_ONCE = 50


class ManyDeletionsError(ConfigError):
    """So many rows are missing at once that a person must say whether they are deleted; meanwhile nothing is published.

    The source looks again by itself: if the rows are back, it goes on.
    """

    code = "many-deletions"
    remedy = "if they are deleted, `exchange connector accept-deletions DEPARTMENT SUBJECT`; or else bring them back"


@dataclass(frozen=True)
class Question:
    """Whether `gone` of `of` published rows are deleted: an answer says when it was `asked`, and the `digest`."""

    asked: str
    gone: int
    of: int
    digest: str

    @classmethod
    def among(cls, progress: Progress) -> Question | None:
        """The question that this progress asks; raises ProgressError if it cannot be read."""
        try:
            return cls(**json.loads(progress[QUESTION])) if QUESTION in progress else None
        except (ValueError, TypeError) as error:
            raise ProgressError("the question about deletions is not readable") from error

    def is_answered(self, progress: Progress) -> bool:
        """Whether a person has accepted exactly this."""
        answer = json.loads(progress.get(ANSWER, b"{}"))
        return (answer.get("asked"), answer.get("digest")) == (self.asked, self.digest)

    def answer(self, person: str, reason: str, now: datetime) -> dict[str, bytes | None]:
        """The change of progress by which that person accepts it."""
        said = {
            "asked": self.asked,
            "digest": self.digest,
            "by": person,
            "reason": reason,
            "at": now.isoformat(timespec="seconds"),
        }
        return {ANSWER: json.dumps(said, ensure_ascii=False).encode()}

    def __str__(self) -> str:
        return f"{self.gone} of {self.of} published rows are no longer there"


class RollCall:
    """Remembers what a source publishes, and says what of it is gone: which published rows do not answer.

    A roll call is: `rows.begin`, `rows.see` for all that is there, `check`, and `deletions`. What is published
    meanwhile counts as there.
    """

    def __init__(self, config: SourceConfig, encoder: Encoder, clock: Callable[[], float] = time.time) -> None:
        self._config = config
        self.encoder = encoder
        self._clock = clock
        self._asked_about: list[str] = []

    def open(self, progress: Progress) -> None:
        """Remember what was published according to this progress."""
        self.rows = PublishedRows(self.encoder.key, progress)
        self._asked_about = [name for name in progress if name.startswith(ASKED)]
        self._question = Question.among(progress) if self.rows.is_known else None
        self._is_answered = self._question is not None and self._question.is_answered(progress)
        self._show()

    def close(self) -> None:
        """Free what it holds."""
        if hasattr(self, "rows"):
            self.rows.close()

    @property
    def is_asking(self) -> bool:
        """Whether nothing may be published until a person answers, or the rows are back."""
        return self._question is not None and not self._is_answered

    def remembered(self, page: Page) -> Page:
        """The page as records, with the names of its rows in its progress."""
        records = self.encoder.encode(page, named=True)
        rows = zip(records.names.tolist(), (records.values.length >= 0).tolist(), strict=True)
        change = self.rows.change({name: there for name, there in rows if name is not None})
        return Page(records, {**page.progress, **change}, oldest=page.oldest)

    def check(self) -> Iterator[Page]:
        """Raise ManyDeletionsError if too much is gone at once; the pages before note the question."""
        gone, asked = self.rows.count_gone()
        count = self.rows.count()
        unasked = gone - (asked if self._is_answered else 0)
        if unasked < FEW_ROWS or unasked <= self._config.brake * count:
            return
        if not self.is_asking:
            yield from self._ask(gone, count)
        subject = self._config.subject
        accept = f"`exchange connector accept-deletions {subject.partition('.')[0]} {subject} --reason …`"
        back = "bring them back" if self._config.table else "take the file out of taken/"
        raise ManyDeletionsError(
            f"{subject}: {self._question}", remedy=f"if they are deleted, {accept}; or else {back}"
        )

    def deletions(self) -> Iterator[Page]:
        """Delete what is gone; the question, if there was one, is settled then."""
        for names in self.rows.gone(self._config.page_rows):
            records = [self.encoder.gone(name) for name in names]
            yield Page(records, self.rows.change(dict.fromkeys(names, False)), ["a row that is gone"] * len(records))
        yield from self.settle()

    def settle(self) -> Iterator[Page]:
        """Ask no longer."""
        if self._question is not None or self._asked_about:
            forget: dict[str, bytes | None] = dict.fromkeys([QUESTION, *self._asked_about])
            self._question, self._is_answered, self._asked_about = None, False, []
            self.rows.answered()
            yield Page([], forget)
        self._show()

    def _ask(self, gone: int, count: int) -> Iterator[Page]:
        # An answer to an older question must not hold for rows that are noted now.
        yield from self.settle()
        digest = blake2b(digest_size=16)
        entries_left = ((f"{ASKED}{number:06d}", packed) for number, packed in enumerate(self.rows.asked()))
        while entries := dict[str, bytes | None](islice(entries_left, _ENTRIES_AT_ONCE)):
            self._asked_about += entries
            for packed in entries.values():
                digest.update(packed or b"")
            yield Page([], entries)
        now = datetime.fromtimestamp(self._clock(), UTC)
        self._question = Question(now.isoformat(timespec="milliseconds"), gone, count, digest.hexdigest())
        yield Page([], {QUESTION: json.dumps(asdict(self._question)).encode()})
        self._show()

    def _show(self) -> None:
        asked = self._question.gone if self._question is not None and self.is_asking else 0
        metrics.DELETIONS_ASKED.labels(self._config.subject).set(asked)
