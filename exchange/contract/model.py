"""The contract as frozen models: departments, subjects, grants.

These models say what a well-formed contract file looks like, `contract/terms.py` what conditions and masks do;
`contract/check.py` says whether it makes sense as a whole. The JSON Schema for editors is generated from here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import Field

from exchange.contract.base import Model
from exchange.contract.terms import GrantedMask, Where
from exchange.gap import Gap

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=63)]
SubjectId = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*\.[a-z][a-z0-9-]*$", max_length=127)]


class Title(Model):
    """What people read, in both languages."""

    zh: str
    en: str


class Rates(Model):
    """The most bytes per second that a department's clients move at each broker; beyond it Kafka slows them down."""

    producer_byte_rate: int | None = Field(default=None, ge=1, description="What they write.")
    consumer_byte_rate: int | None = Field(default=None, ge=1, description="What they read.")


class Department(Model):
    """A unit that publishes or reads; its id is its Kafka principal."""

    id: Name
    title: Title
    credit_code: str = Field(description="Unified social credit code (GB 32100), 18 characters with check digit.")
    pseudonym_rotation: int = Field(
        default=0, ge=0, description="Raise it to give this reader new pseudonyms, from the next epoch on."
    )
    rates: Rates = Field(default=Rates(), description="Byte rates, instead of the contract's.")


class Entity(Model):
    """Whom a record is about: the field whose value is the record's key."""

    field: str
    kind: Literal["person", "organisation"]


Rounding = Literal["micros", "millis", "seconds", "days"] | Annotated[int, Field(ge=0, le=76, strict=True)]
"""What values are rounded to: a unit of time, or a number of decimals."""


class TopicSettings(Model):
    """How the subject's topic is kept on Kafka."""

    partitions: int = Field(default=4, ge=1, le=1024)
    replication: int = Field(default=1, ge=1, le=9)
    retention_days: int | None = Field(default=None, ge=1, description="Days that records are kept; absent: for ever.")


class Subject(Model):
    """A data subject (a kind of record) that its owner publishes."""

    name: Name
    owner: Name
    title: Title
    # Not `schema`: pydantic's own attribute has that name.
    schema_file: str = Field(alias="schema", description="Avro schema file, relative to the contract file.")
    entity: Entity
    key: tuple[str, ...] = Field(
        default=(),
        exclude_if=lambda key: not key,
        description="Fields that tell its rows apart, the entity's among them; absent: its records are events.",
    )
    share: Literal["open", "conditional", "closed"]
    sensitive: tuple[str, ...] = ()
    rounded: Mapping[str, Rounding] = Field(
        default_factory=dict,
        exclude_if=lambda rounded: not rounded,
        description="Fields whose values the owner's connector makes less exact, and to what.",
    )
    topic: TopicSettings = TopicSettings()

    @property
    def id(self) -> str:
        """`<owner>.<name>`, as grants name it."""
        return f"{self.owner}.{self.name}"


class Purpose(Model):
    """Why the reader may have the records, and on what legal basis."""

    code: Name
    basis: str = Field(min_length=1, description="Law, regulation or agreement, with its article.")
    text: str = Field(min_length=1)


class Quota(Model):
    """The most that a grant may deliver."""

    records_per_day: int | None = Field(default=None, ge=1)
    records_per_second: int | None = Field(default=None, ge=1)

    @property
    def is_limited(self) -> bool:
        """Whether there is any limit."""
        return self != Quota()


class Grant(Model):
    """One reader's right to some fields of some records of one subject, for one purpose."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=127)]
    subject: SubjectId
    reader: Name
    purpose: Purpose
    fields: Literal["all"] | tuple[str, ...]
    where: Where = Field(default_factory=dict, description="Conditions by field, and `all`, `any`, `not`.")
    masks: Mapping[str, GrantedMask] = Field(default_factory=dict, description="Fields that are given masked, and how.")
    from_: date = Field(alias="from", description="First day of the grant (inclusive, Asia/Shanghai).")
    until: date = Field(description="Last day of the grant (inclusive, Asia/Shanghai).")
    quota: Quota = Quota()
    after: Literal["keep", "delete"] | None = Field(
        default=None,
        exclude_if=lambda after: after is None,
        description="What the reader's connector does with its rows when the grant has ended; absent: it deletes them "
        "if the subject has sensitive fields.",
    )

    def deletes(self, subject: Subject) -> bool:
        """Whether the reader's rows are deleted when the grant has ended; `subject` is the grant's."""
        return self.after == "delete" or (self.after is None and bool(subject.sensitive))

    def named(self, everything: Iterable[str]) -> tuple[str, ...]:
        """The fields that the grant names; `all` means `everything`."""
        return tuple(everything) if self.fields == "all" else self.fields


class Contract(Model):
    """The whole contract file."""

    version: Literal[1]
    rates: Rates = Field(default=Rates(), description="Byte rates of every department that has none of its own.")
    departments: tuple[Department, ...]
    subjects: tuple[Subject, ...]
    grants: tuple[Grant, ...] = ()

    def subject(self, subject_id: str) -> Subject:
        """The subject with that id; raises KeyError if there is none."""
        for subject in self.subjects:
            if subject.id == subject_id:
                return subject
        raise KeyError(subject_id)


class AcceptedGap(Model):
    """Records of a subject that Kafka deleted before a router decided them; a person said that the routers go on."""

    gap: Gap
    operator: str
    reason: str
    time: datetime


class Resync(Model):
    """What a grant's reader holds of a subject with a key is to be made what the grant gives.

    Rows that it holds and that the grant does not give are withdrawn. With `again`, those that it holds and is given
    are delivered again, because they look otherwise now, or the reader missed changes. With `gives`, those that it
    does not hold are delivered.
    """

    id: str
    grant: str
    again: bool = False
    gives: bool = False


class Epoch(Model):
    """One published contract with all that a router needs; a record of `exchange.contract`.

    `writers`: the schema ids that records of each subject may carry, newest last.
    `views`: the schema id of what each projecting grant delivers. Whole-record grants are absent: their
    records keep the writer's id.
    `pinned`: the fields of each grant with `fields: all`, namely those that the subject had when the grant
    was first published.
    `schemas`: the Avro text of every id named. `ledger`: the schema id of ledger entries.
    `former`: departments of earlier epochs that the contract no longer has (None: published by a version
    that did not record them).
    `topic_ids`: Kafka's topic id of every subject that ever was, as of its first epoch.
    `accepted_gaps`: the losses after which routers may go on.
    `resyncs`: what readers hold is made true once for each of these, in every partition.
    `inboxes`: those of all grants that began under an earlier epoch. Their readers may hold rows.
    """

    number: int = Field(ge=1)
    time: datetime
    contract: Contract
    writers: Mapping[str, tuple[int, ...]]
    views: Mapping[str, int]
    pinned: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    schemas: Mapping[int, str]
    ledger: int
    former: tuple[Name, ...] | None = None
    topic_ids: Mapping[str, str] = Field(default_factory=dict)
    accepted_gaps: tuple[AcceptedGap, ...] = ()
    resyncs: tuple[Resync, ...] = ()
    inboxes: tuple[str, ...] = ()

    def given(self, grant: Grant) -> tuple[str, ...] | None:
        """The fields that this grant gives; None if it gives records as they are."""
        if grant.fields != "all":
            return grant.fields
        return None if not grant.masks and grant.id not in self.views else self.pinned[grant.id]
