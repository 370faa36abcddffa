"""The engine of cases reads the tables that sinks make, and its questions are rows that sources can publish."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from exchange.cases.states import CaseState
from exchange.connect.assembly import Assembly
from exchange.connect.config import Cursor, Database, SourceConfig
from exchange.connect.database import Paths, engine
from exchange.connect.sink_table import SinkTable
from exchange.contract.model import Entity, Subject, Title
from exchange.schema import avro, wire
from tests.rigs.case_world import DAY, NOW, OFFICE, PARTIES, World, sink
from tests.rigs.sinks import Reader, schema, url_of

DATE = {"type": "int", "logicalType": "date"}
ANSWER = schema(
    question_id="string",
    to="string",
    party_id="string",
    status={
        "type": "enum",
        "name": "S",
        "symbols": ["found", "nothing_found", "not_authorised", "not_identified", "refused"],
    },
    content="string",
    reason=["null", "string"],
    data_as_of=["null", DATE],
    queried_at={"type": "long", "logicalType": "timestamp-millis"},
    answered_by={"type": "enum", "name": "B", "symbols": ["query", "person"]},
)
QUESTION = schema(
    question_id="string",
    to="string",
    type="string",
    item="string",
    party_id="string",
    party_name="string",
    period_from=["null", DATE],
    period_until=["null", DATE],
    as_of=["null", DATE],
    parameters="string",
    authorisation="string",
    asked_at={"type": "long", "logicalType": "timestamp-millis"},
    due_on=DATE,
)
QUERIED = datetime(2026, 3, 2, 8, 0, 0, 123_000, tzinfo=UTC)


@pytest.fixture(params=["sqlite", "postgresql"])
def reader(request: pytest.FixtureRequest, tmp_path: Path) -> Reader:
    return Reader(url_of(request, tmp_path), tmp_path)


@pytest.fixture
def world(reader: Reader) -> Iterator[World]:
    with closing(World(reader.url)) as made:
        for department in ("tax", "police"):
            sink(department).drop(made.store.engine)
        yield made


def table(reader: Reader, name: str) -> SinkTable:
    paths = Paths(Path(), Path())
    made = SinkTable(
        engine(Database(url=reader.url), paths, writes=True), name, ("party_id", "question_id"), "party_id"
    )
    made.fit(ANSWER)
    return made


def given(question_id: str, **changes: Any) -> dict[str, Any]:
    """An answer, as the connector decodes it."""
    return {
        "question_id": question_id,
        "to": OFFICE,
        "party_id": "R1",
        "status": "nothing_found",
        "content": "{}",
        "reason": None,
        "data_as_of": date(2026, 2, 28),
        "queried_at": QUERIED,
        "answered_by": "query",
        **changes,
    }


def test_answers_are_taken_from_the_tables_of_sinks(reader: Reader, world: World) -> None:
    world.open(parties=PARTIES[:1])
    assert world.engine.work(NOW).events == {"asked": 1}
    tax, police = table(reader, "tax_answer"), table(reader, "police_answer")
    total = '{"total":"400.00"}'
    reader.write(tax, given("C1/wages/1/1", status="found", content=total), schema=ANSWER)
    assert world.engine.work(NOW).arrivals == {"taken": 1}
    reader.write(police, given("C1/cars/1/1", data_as_of=None), schema=ANSWER)
    assert world.engine.work(NOW + DAY).events == {"answered": 1, "found": 1}
    case = world.store.case("C1")
    wages, cars = case.answers["C1/wages/1/1"], case.answers["C1/cars/1/1"]
    assert (wages.content, wages.data_as_of, wages.queried_at) == (total, date(2026, 2, 28), QUERIED)
    assert (cars.status, cars.data_as_of, cars.answered_by) == ("nothing_found", None, "query")
    assert world.engine.work(NOW + DAY).arrivals == {}
    reader.write(police, given("C1/cars/1/1", status="found", content='{"cars":1}'), schema=ANSWER)
    assert world.engine.work(NOW + DAY).events == {"contradicted": 1}
    assert world.store.case("C1").state == CaseState.FOUND


def test_answers_are_taken_from_the_table_that_the_sink_names(reader: Reader) -> None:
    name = "what_tax_says" if reader.url.startswith("sqlite") else "office.what_tax_says"
    with closing(World(reader.url, answers={"tax": name})) as world:
        if "." in name:
            with world.store.transaction() as connection:
                connection.execute(sa.text("CREATE SCHEMA office"))
        world.open(parties=PARTIES[:1])
        assert world.engine.work(NOW).arrivals == {}, "the sink has made no table yet"
        reader.write(table(reader, name), given("C1/wages/1/1"), schema=ANSWER)
        world.answer("C1/cars/1/1")
        assert world.engine.work(NOW).arrivals == {"taken": 1}, "nobody says where the police's answers are"


def test_questions_are_rows_that_a_source_publishes(reader: Reader, world: World, tmp_path: Path) -> None:
    world.open(parties=PARTIES[:1])
    world.engine.work(NOW)
    subject = Subject(
        name="question",
        owner="civil-affairs",
        title=Title(zh="问", en="Question"),
        schema="question.avsc",
        entity=Entity(field="party_id", kind="person"),
        key=("party_id", "question_id"),
        share="conditional",
    )
    cursor = Cursor(time="updated_at", id="id")
    config = SourceConfig(subject=subject.id, table="exchange_questions", cursor=cursor)
    parts = Assembly(Paths(tmp_path, tmp_path), Database(url=reader.url))
    encoder = parts.encoder(config, subject, 0, QUESTION)
    with closing(parts.source(config, QUESTION)) as source:
        source.open({})
        made = encoder.encode(next(iter(source.pages())))
    assert made.rejected == []
    wages, cars = (avro.decode(QUESTION, wire.unpack(encoded.value)[1]) for encoded in made)
    assert (wages["question_id"], cars["question_id"]) == ("C1/wages/1/1", "C1/cars/1/1")
    assert (wages["asked_at"], wages["due_on"], wages["as_of"]) == (NOW, date(2026, 3, 9), None)
    assert (cars["as_of"], cars["party_name"], cars["parameters"]) == (date(2026, 3, 2), "王一", "{}")
