"""Every name that the exchange uses on Kafka, in one place."""

from __future__ import annotations

LEDGER_TOPIC = "exchange.ledger"
CONTRACT_TOPIC = "exchange.contract"
SCHEMAS_TOPIC = "_schemas"
QUOTA_TOPIC = "exchange.quota"
ROUTER_GROUP = "exchange.router"
ADMIN_PRINCIPAL = "exchange.admin"
"""The super user, who needs no access rule."""
ROUTER_PRINCIPAL = "exchange.router"
LEDGER_PRINCIPAL = "exchange.ledger"
"""The login for following, auditing and verifying: it reads records and the ledger, and writes nothing."""
REPLAY_HEADER = "exchange-replay"
ROW_HEADER = "exchange-row"
"""Names the row of a record: with a null value, the row that is gone."""
REPLAY_ID = r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}"

Partition = tuple[str, int]
"""A topic and the number of one of its partitions."""


def subject_topic(subject_id: str) -> str:
    """The topic to which a subject is published.

    >>> subject_topic("tax.income")
    'subject.tax.income'
    """
    return f"subject.{subject_id}"


def subject_of(topic: str) -> str:
    """The subject with that topic; raises ValueError for any other topic.

    >>> subject_of("subject.tax.income")
    'tax.income'
    """
    kind, _, subject_id = topic.partition(".")
    if kind != "subject":
        raise ValueError(f"{topic} is not a subject's topic")
    return subject_id


def quarantine_topic(subject_id: str) -> str:
    """The topic for what is not a valid record of the subject.

    >>> quarantine_topic("tax.income")
    'quarantine.tax.income'
    """
    return f"quarantine.{subject_id}"


def inbox_topic(reader: str, subject_id: str) -> str:
    """The topic with what one reader gets of a subject.

    >>> inbox_topic("civil-affairs", "tax.income")
    'inbox.civil-affairs.tax.income'
    """
    return f"inbox.{reader}.{subject_id}"


def holdings_topic(subject_id: str) -> str:
    """The topic in which routers keep which readers hold which rows of a subject.

    >>> holdings_topic("tax.income")
    'holdings.tax.income'
    """
    return f"holdings.{subject_id}"


def cursor_topic(department: str) -> str:
    """The topic with the progress of a department's sources.

    >>> cursor_topic("tax")
    'cursor.tax'
    """
    return f"cursor.{department}"


def value_subject(topic: str) -> str:
    """The registry's subject for a topic's values (Confluent's TopicNameStrategy).

    >>> value_subject("subject.tax.income")
    'subject.tax.income-value'
    """
    return f"{topic}-value"
