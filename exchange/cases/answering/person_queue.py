"""The questions that people answer: the list of them, and a person's answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from exchange.cases.answering.answer_store import AnswerStore, QueuedQuestion, Reply
from exchange.cases.answering.item_queries import content_of
from exchange.cases.answering.items import AnsweredItem, Asker
from exchange.cases.shapes import WrongShapeError, typed
from exchange.contract.period import city_day
from exchange.document.nearest import nearest
from exchange.errors import ConfigError


class NotQueuedError(ConfigError):
    """No question with that id waits for a person."""

    code = "not-queued"
    remedy = "`exchange case queue DEPARTMENT` lists those that do; it may have been answered or withdrawn since"


class ReasonMissingError(ConfigError):
    """A refusal has no reason."""

    code = "refusal-reason"
    remedy = "say why: the asker and the person concerned read it"


def queued(store: AnswerStore, askers: Sequence[Asker]) -> list[QueuedQuestion]:
    """All questions that wait for a person, by asker, the oldest first."""
    return [one for asker in askers for one in store.queued(asker)]


def answer(
    store: AnswerStore,
    askers: Sequence[Asker],
    question_id: str,
    status: str,
    person: str,
    now: datetime,
    *,
    given: Mapping[str, str] | None = None,
    reason: str = "",
) -> None:
    """Write the person's answer to a question of the queue; `given`: what was found, as typed.

    Raises NotQueuedError if nobody waits for it (any more), WrongShapeError if `given` is not what the item declares,
    and ReasonMissingError for a refusal without a reason.
    """
    asker, waiting = _waiting(store, askers, question_id)
    question = waiting.question
    if status == "refused" and not reason.strip():
        raise ReasonMissingError(f"the refusal of {question_id} has no reason")
    content = "{}"
    if status == "found":
        item = asker.items.get((question.type, question.item))
        if item is None:
            raise NotQueuedError(
                "the question is about an item that `answers` does not have any more",
                remedy="put it back into `answers` of connector.yaml, or answer otherwise than `found`",
            )
        content = content_of(item, _as_typed(item, given or {}))
    as_of = city_day(now) if status in ("found", "nothing_found") else None
    reply = Reply(status, content, reason.strip() or None, as_of, answered_by="person")
    if not store.answer_queued(asker, question, reply, person, now):
        raise NotQueuedError(f"{question_id} was answered or withdrawn meanwhile")


def _waiting(store: AnswerStore, askers: Sequence[Asker], question_id: str) -> tuple[Asker, QueuedQuestion]:
    for asker in askers:
        for waiting in store.queued(asker, question_id):
            return asker, waiting
    raise NotQueuedError("no question with that id waits for a person")


def _as_typed(item: AnsweredItem, given: Mapping[str, str]) -> dict[str, Any]:
    if unknown := [name for name in given if name not in item.answer]:
        raise WrongShapeError(f"{item} has no value {unknown[0]}", remedy=nearest(unknown[0], list(item.answer)))
    if missing := [name for name in item.answer if name not in given]:
        raise WrongShapeError(
            f"{item} lacks {', '.join(missing)}", remedy=f"give {' '.join(f'--found {name}=…' for name in missing)}"
        )
    found = {}
    for name, text in given.items():
        try:
            found[name] = typed(item.answer[name], text)
        except WrongShapeError as error:
            raise WrongShapeError(f"{name} of {item}: {error.message}", remedy="type it in that form") from None
    return found
