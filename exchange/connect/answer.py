"""What a department answers a source that asks whether many rows are really deleted."""

from __future__ import annotations

from datetime import datetime

from exchange.bus.connection import Cluster
from exchange.bus.topics import publish
from exchange.connect import cursor
from exchange.connect.roll_call import Question
from exchange.errors import ConfigError
from exchange.names import cursor_topic


class NoQuestionError(ConfigError):
    """The source of that subject asks nothing about deletions."""

    code = "no-question"
    remedy = "name the subject that the connector's /healthz names with [many-deletions]"


def question(cluster: Cluster, department: str, subject: str) -> Question:
    """What the department's source of that subject asks; raises NoQuestionError if it asks nothing."""
    progress = cursor.read(cluster, department, subject)
    found = Question.among(progress)
    if found is None or found.is_answered(progress):
        raise NoQuestionError(f"the source of {subject} asks nothing of {department}")
    return found


def accept(
    cluster: Cluster, department: str, subject: str, question: Question, person: str, reason: str, now: datetime
) -> None:
    """Let the source delete exactly the rows of that question; another one that it may ask since stays open."""
    keys, values = cursor.key_values(subject, question.answer(person, reason, now))
    publish(cluster, cursor_topic(department), list(zip(keys, values, strict=True)), partition=cursor.PARTITION)
