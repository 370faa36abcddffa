"""Answers the questions of one asker: each at most once, by the item's queries, or hands it to the people's queue.

Whether a number and a name fit is no matter of judgement here: the name is the same after NFKC without white space, or
a person decides. What cannot be answered stays unanswered and is reported: silence is never "nothing found".
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from exchange.cases.answering.answer_store import AnswerStore, ReceivedQuestion, Reply
from exchange.cases.answering.item_queries import ItemQueries, UnanswerableError
from exchange.cases.answering.items import AnsweredItem, Asker
from exchange.errors import ExchangeError, TransientError


@dataclass(frozen=True)
class Treated:
    """What became of one question: answered, queued, failed (with the error), or nothing, because it is gone.

    `type` and `item` are empty if the department answers no such item: what the asker wrote there could be anything.
    """

    type: str
    item: str
    outcome: str
    error: ExchangeError | None = None


class Answerer:
    """Goes through the open questions of one asker; `clock` gives moments with their zone."""

    def __init__(self, store: AnswerStore, department: str, asker: Asker, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._department = department
        self._asker = asker
        self._clock = clock
        self._queries = {key: ItemQueries(store, item) for key, item in asker.items.items()}

    def answer_all(self) -> Iterator[Treated]:
        """Treat each open question once.

        If an item's query fails because the database does not answer in time, the item's other questions wait for the
        next time; any other failure is that of one question.
        """
        for queries in self._queries.values():
            queries.begin()
        waits = set()
        for question in self._store.open_questions(self._asker, self._department):
            key = (question.type, question.item)
            if key in waits:
                continue
            known = key if key in self._asker.items else ("", "")
            try:
                yield Treated(*known, self._treat(question))
            except ExchangeError as error:
                if isinstance(error, TransientError):
                    waits.add(key)
                yield Treated(*known, "failed", error)

    def _treat(self, question: ReceivedQuestion) -> str:
        item = self._asker.items.get((question.type, question.item))
        if item is None:
            raise UnanswerableError(
                "a question is about an item that `answers` does not have",
                remedy="add the item to `answers` of connector.yaml, or tell the asker that you do not answer it",
            )
        if question.answered_to is not None:
            raise UnanswerableError(
                f"a question about {item} has the id of one that {question.answered_to} asked",
                remedy="have the asker give its cases numbers of its own",
            )
        queried = self._clock()
        found = self._decide(question, item)
        if isinstance(found, Reply):
            is_done = self._store.answer(self._asker, question, found, queried, self._clock())
            return "answered" if is_done else "gone"
        return "queued" if self._store.enqueue(self._asker, question, found, queried) else "gone"

    def _decide(self, question: ReceivedQuestion, item: AnsweredItem) -> Reply | str:
        """The reply, or the cause for which a person has to give it."""
        if not question.authorisation.strip():
            return Reply("not_authorised")
        if item.query is None:
            return "by-person"
        queries = self._queries[item.type, item.item]
        names = queries.names(question)
        if not names:
            is_nothing = item.unknown == "nothing_found"
            return Reply(item.unknown, data_as_of=queries.data_as_of(question) if is_nothing else None)
        if not all(is_same_name(name, question.party_name) for name in names):
            return "name"
        as_of = queries.data_as_of(question)  # first, so that the values are at least as new as that
        content = queries.content(question)
        if content is None:
            return Reply("nothing_found", data_as_of=as_of)
        return Reply("found", content, data_as_of=as_of)


def is_same_name(here: Any, asked: str) -> bool:
    """Whether both are the same name, but for white space and the width of characters.

    >>> is_same_name("Ａnna  Li", "Anna Li"), is_same_name("張偉", "张伟"), is_same_name(None, "")
    (True, False, False)
    """
    return isinstance(here, str) and _plain(here) == _plain(asked) != ""


def _plain(name: str) -> str:
    return "".join(unicodedata.normalize("NFKC", name).split())
