"""The contract as frozen models: departments, subjects, grants.

These models say what a well-formed contract file looks like; ``contract/check.py`` says
whether it makes sense as a whole. The JSON Schema for editors is generated from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_serializer

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=63)]
SubjectId = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*\.[a-z][a-z0-9-]*$", max_length=127)]
# YAML reads an unquoted day as a date, JSON has none: in a condition both are the ISO text.
_iso = BeforeValidator(lambda value: value.isoformat() if isinstance(value, date) else value)
Scalar = Annotated[str | int | float | bool | None, _iso]
Bound = Annotated[int | float | str | None, _iso]


class Model(BaseModel):
    """Frozen, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Title(Model):
    """What people read, in both languages."""

    zh: str
    en: str


class Department(Model):
    """A unit that publishes or reads; its id is its Kafka principal."""

    id: Name
    title: Title
    credit_code: str = Field(description="Unified social credit code (GB 32100), 18 characters with check digit.")


class Entity(Model):
    """Whom a record is about: the field whose value is the record's key."""

    field: str
    kind: Literal["person", "organisation"]


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
    share: Literal["open", "conditional", "closed"]
    sensitive: tuple[str, ...] = ()
    topic: TopicSettings = TopicSettings()

    @property
    def id(self) -> str:
        """`<owner>.<name>`, as grants name it."""
        return f"{self.owner}.{self.name}"


class Condition(Model):
    """What one field must be; several operators of one condition must all hold. Days are ISO text."""

    eq: Scalar = None
    ne: Scalar = None
    in_: tuple[Scalar, ...] | None = Field(default=None, alias="in", min_length=1)
    prefix: str | None = None
    ge: Bound = None
    gt: Bound = None
    le: Bound = None
    lt: Bound = None
    is_null: bool | None = None

    @model_serializer
    def operators(self) -> dict[str, Any]:
        """The operators that were written, by name, in a fixed order; also the condition's JSON.

        An operator that was not written must stay absent there: `eq: null` asks for null.
        """
        written = [(name, field.alias or name) for name, field in type(self).model_fields.items()]
        return {alias: getattr(self, name) for name, alias in written if name in self.model_fields_set}


class Purpose(Model):
    """Why the reader may have the records, and on what legal basis."""

    code: Name
    basis: str = Field(min_length=1, description="Law, regulation or agreement, with its article.")
    text: str = Field(min_length=1)


class Quota(Model):
    """The most that a grant may deliver."""

    records_per_day: int | None = Field(default=None, ge=1)
    records_per_second: int | None = Field(default=None, ge=1)


class Grant(Model):
    """One reader's right to some fields of some records of one subject, for one purpose."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=127)]
    subject: SubjectId
    reader: Name
    purpose: Purpose
    fields: Literal["all"] | tuple[str, ...]
    where: Mapping[str, Condition] = Field(default_factory=dict)
    from_: date = Field(alias="from", description="First day of the grant (inclusive, Asia/Shanghai).")
    until: date = Field(description="Last day of the grant (inclusive, Asia/Shanghai).")
    quota: Quota = Quota()


class Contract(Model):
    """The whole contract file."""

    version: Literal[1]
    departments: tuple[Department, ...]
    subjects: tuple[Subject, ...]
    grants: tuple[Grant, ...] = ()

    def subject(self, subject_id: str) -> Subject:
        """The subject of that id; KeyError where there is none."""
        for subject in self.subjects:
            if subject.id == subject_id:
                return subject
        raise KeyError(subject_id)


class Epoch(Model):
    """One published contract with all that a router needs: a record of `exchange.contract`.

    `writers` gives the schema ids that a subject's records may carry, newest last; `views`
    the schema id of what a projecting grant delivers (whole-record grants are absent: their
    records keep the writer's id); `schemas` the Avro text of every id named; `ledger` the schema
    id of ledger entries.
    """

    number: int = Field(ge=1)
    time: datetime
    contract: Contract
    writers: Mapping[str, tuple[int, ...]]
    views: Mapping[str, int]
    schemas: Mapping[int, str]
    ledger: int
