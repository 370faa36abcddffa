"""Makes a first contract from the topics and schemas that a cluster already has; pure.

`FILL-IN` marks what only people know, and `exchange validate` points at it. Whatever people have to decide is set
to the value that gives nobody anything.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from pydantic import TypeAdapter, ValidationError
from ruamel.yaml import YAML

from exchange import names
from exchange.bus.topic import Topic
from exchange.contract.model import Name, TopicSettings
from exchange.errors import ConfigError
from exchange.plan.topics import DAY_MS, PREFIXES
from exchange.printable import printable
from exchange.schema.avro import MAX_SCHEMA_BYTES, Schema
from exchange.schema.registry import Registry
from exchange.schema.resolve import SchemaError

BLANK = "FILL-IN"
DEFAULT_PATTERN = "subject.{department}.{subject}"
# Fields that usually identify the person or organisation that a record is about.
_ENTITIES = {
    "resident_id": "person",
    "id_card": "person",
    "id_number": "person",
    "credit_code": "organisation",
    "uscc": "organisation",
}
_NAME: TypeAdapter[str] = TypeAdapter(Name)


class PatternError(ConfigError):
    """A pattern does not say which department and subject a topic belongs to."""

    code = "pattern"
    remedy = "name both, as subject.{department}.{subject}"


@dataclass
class Starter:
    """The contract, its schemas by file name, and notes on topics for a person to read."""

    contract: str = ""
    schemas: dict[str, str] = field(default_factory=dict)
    subjects: list[str] = field(default_factory=list)
    unmapped: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def blanks(self) -> dict[int, str]:
        """What is blank, by line of the contract."""
        lines = enumerate(self.contract.splitlines(), 1)
        return {n: line.strip(" -").split(":")[0] for n, line in lines if BLANK in line and not line.startswith("#")}


class _Found(NamedTuple):
    department: str
    name: str
    topic: str
    kept: Topic
    schema: Schema | None


def make_starter(
    topics: Mapping[str, Topic], registry: Registry, patterns: Sequence[str] = (DEFAULT_PATTERN,)
) -> Starter:
    """Make a subject of every topic that matches a pattern such as `{department}_{subject}`; the first match counts.

    Capitals become small letters; `_` and `.` in a name become hyphens. The exchange's own topics are skipped.
    Raises PatternError if a pattern lacks one of the two parts.
    """
    compiled = [_compiled(pattern) for pattern in patterns]
    starter = Starter()
    found: dict[str, _Found] = {}
    for topic, kept in sorted(topics.items()):
        if _is_own(topic):
            continue
        try:
            department, name = _place(topic, compiled)
            subject_id = f"{department}.{name}"
            if subject_id in found:
                raise ValueError(f"{found[subject_id].topic} is already subject {subject_id}")
            TopicSettings(partitions=kept.partitions, replication=kept.replication)
        except ValidationError:
            starter.unmapped[topic] = f"has {kept.partitions} partitions and {kept.replication} replicas: too many"
        except ValueError as error:
            starter.unmapped[topic] = str(error)
        else:
            found[subject_id] = _Found(department, name, topic, kept, _schema(topic, registry, starter))
    starter.subjects = sorted(found)
    starter.schemas = {_file(f): _pretty(f.schema) for f in found.values() if f.schema}
    starter.notes += (note for each in found.values() for note in _notes(each))
    starter.contract = "\n".join(_contract(list(found.values()))) + "\n"
    return starter


def _compiled(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"(\{department\}|\{subject\})", pattern)
    if sorted(parts[1::2]) != ["{department}", "{subject}"]:
        remedy = f"write it as '{DEFAULT_PATTERN}' or '{{department}}_{{subject}}'"
        raise PatternError("a pattern needs {department} and {subject}, each once", remedy=remedy)
    groups = {"{department}": "(?P<department>.+?)", "{subject}": "(?P<subject>.+)"}
    return re.compile("".join(groups.get(part, re.escape(part)) for part in parts))


def _is_own(topic: str) -> bool:
    return topic.startswith(("_", "exchange.", *(p for p in PREFIXES if p != "subject.")))


def _place(topic: str, patterns: Sequence[re.Pattern[str]]) -> tuple[str, str]:
    match = next((match for pattern in patterns if (match := pattern.fullmatch(topic))), None)
    if match is None:
        raise ValueError("matches no pattern")
    department, name = (re.sub(r"[._]+", "-", match[part]).lower() for part in ("department", "subject"))
    for what in (department, name):
        try:
            _NAME.validate_python(what)
        except ValidationError:
            raise ValueError("gives no name of small letters, digits and hyphens") from None
    if department == "exchange":
        raise ValueError("'exchange' is the exchange's own name")
    return department, name


def _schema(topic: str, registry: Registry, starter: Starter) -> Schema | None:
    versions = registry.versions(names.value_subject(topic))
    if not versions:
        starter.notes.append(f"{topic}: no schema is registered for its values: write one")
        return None
    try:
        return registry.schema(versions[-1].id)
    except SchemaError as error:
        # This text was chosen by whoever may write to `_schemas`.
        reason = printable(error.message[:200], "")
        starter.notes.append(f"{topic}: its registered schema cannot be used here: {reason}")
        return None


def _notes(found: _Found) -> Iterator[str]:
    ours, configs = names.subject_topic(f"{found.department}.{found.name}"), found.kept.configs
    if found.topic != ours:
        yield f"{found.topic}: `exchange apply` will create {ours}; its publishers have to move there"
        return
    if configs.get("cleanup.policy", "delete") != "delete":
        yield f"{ours}: is compacted; `exchange apply` will keep every record for the time of its retention instead"
    retention_ms = configs.get("retention.ms")
    if retention_ms is None:
        yield f"{ours}: is kept as long as the cluster keeps topics by default; say `retention_days`, or it is for ever"
    elif int(retention_ms) % DAY_MS and retention_ms != "-1":
        yield f"{ours}: is kept for a part of a day; the contract says whole days, rounded up"


def _contract(found: Sequence[_Found]) -> Iterator[str]:
    yield f"# A first contract, made from a cluster's topics: replace every {BLANK}, then `exchange validate`."
    yield "version: 1"
    yield ""
    yield "departments:"
    for department in sorted({each.department for each in found}):
        yield f"  - id: {_scalar(department)}"
        yield f"    title: {{zh: {BLANK}, en: {BLANK}}}"
        yield f"    credit_code: {BLANK}"
    yield ""
    yield "subjects:"
    for each in sorted(found):
        yield from _subject(each)
    yield ""
    yield "grants: []"


def _subject(found: _Found) -> Iterator[str]:
    entity, kind = _entity(found.schema)
    retention_ms = int(found.kept.configs.get("retention.ms", "-1"))
    days = f", retention_days: {max(1, -(-retention_ms // DAY_MS))}" if retention_ms >= 0 else ""
    yield f"  - name: {_scalar(found.name)}  # from topic {found.topic}"
    yield f"    owner: {_scalar(found.department)}"
    yield f"    title: {{zh: {BLANK}, en: {BLANK}}}"
    yield f"    schema: {_file(found)}"
    yield f"    entity: {{field: {_scalar(entity)}, kind: {kind}}}  # whom a record is about"
    yield "    share: closed  # nobody can have a grant; or: conditional, open"
    yield f"    topic: {{partitions: {found.kept.partitions}, replication: {found.kept.replication}{days}}}"


def _entity(schema: Schema | None) -> tuple[str, str]:
    plain = [name for name, f in schema.fields.items() if f.solid.kind == "string" and not f.nullable] if schema else []
    known = [name for name in plain if name in _ENTITIES]
    return (known[0], _ENTITIES[known[0]]) if len(known) == 1 else (BLANK, "person")


def _file(found: _Found) -> str:
    return f"schemas/{found.department}/{found.name}.avsc"


def _pretty(schema: Schema) -> str:
    text = json.dumps(json.loads(schema.text), ensure_ascii=False, indent=2) + "\n"
    return text if len(text.encode()) <= MAX_SCHEMA_BYTES else schema.text


def _scalar(text: str) -> str:
    """The text as YAML; in quotes if YAML would read it as something else, such as `no`."""
    return text if YAML(typ="safe", pure=True).load(text) == text else json.dumps(text)
