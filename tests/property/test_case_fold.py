"""Cases of any legal history: every prefix folds, the store's row says what the fold says, findings are made again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event, select

from exchange.cases import tables
from exchange.cases.case import Case, fold, step
from exchange.cases.case_row import columns, read_row, row_of
from exchange.cases.events import FACTS, INCOMPLETE, CaseAmended, CaseDecided, CaseEvent, CaseFound, read_event
from exchange.cases.finding import again
from exchange.cases.states import CaseStateError, EventKind
from exchange.cases.store import CaseStore
from tests.rigs.case_histories import histories
from tests.rigs.case_world import Type

NUMBERS = count()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CaseStore]:
    with closing(CaseStore(f"sqlite:///{tmp_path_factory.mktemp('cases') / 'office.db'}")) as made:
        made.engine.dispose()
        event.listen(made.engine, "connect", lambda each, _: each.execute("PRAGMA synchronous = OFF"))
        yield made


@given(histories())
def test_every_prefix_folds_to_what_its_events_say(history: list[CaseEvent]) -> None:
    case: Case | None = None
    for seq, each in enumerate(history, start=1):
        case = step(case, each)
        assert case == fold(history[:seq])
        assert case.last == seq
        answered = {e.answer.question_id for e in history[:seq] if e.kind == EventKind.ANSWERED}
        assert case.answers.keys() == answered <= case.questions.keys()
        assert {asked.question_id for asked in case.awaited} == set(case.current.values()) - answered
        assert read_event(each.model_dump_json()) == each


@given(histories())
def test_a_finding_is_made_again_and_without_an_answer_it_is_incomplete(history: list[CaseEvent]) -> None:
    made = again(history, Type().rule_again)
    assert all(each.same for each in made)
    findings = {seq: each for seq, each in enumerate(history, 1) if isinstance(each, CaseFound | CaseAmended)}
    assert [each.seq for each in made] == list(findings)
    for seq, each in findings.items():
        case = fold(history[: seq - 1])
        assert case is not None
        answers = [case.answers.get(question_id) for question_id in case.current.values()]
        complete = all(answer is not None and answer.status in FACTS for answer in answers)
        assert (each.finding.outcome == INCOMPLETE) == (not complete)
        for reason in each.finding.reasons:
            assert {source.question_id for source in reason.rests_on} <= set(case.answers)


@given(histories(), st.data())
def test_nothing_happens_twice_or_in_another_order(history: list[CaseEvent], data: st.DataObject) -> None:
    """A decision without its finding, an answer without its question: histories with a part left out do not fold."""
    cut = data.draw(st.integers(1, len(history)))
    case = fold(history[:cut])
    assert case is not None
    once = (EventKind.OPENED, EventKind.ASKED, EventKind.ANSWERED, EventKind.FOUND, EventKind.CARRIED, EventKind.CLOSED)
    for each in history[:cut]:
        if each.kind in once:
            with pytest.raises(CaseStateError):
                step(case, each)
    without = [each for each in history if not isinstance(each, CaseFound)]
    if any(isinstance(each, CaseDecided) for each in history):
        with pytest.raises(CaseStateError):
            fold(without)


@settings(max_examples=60)
@given(data=st.data())
def test_the_store_says_what_the_fold_says(store: CaseStore, data: st.DataObject) -> None:
    case_no = f"C{next(NUMBERS)}"
    history = data.draw(histories(case_no, most=15))
    case: Case | None = None
    for each in history:
        case = store.append(case, each)
        with store.transaction() as connection:
            row = connection.execute(select(tables.cases).where(tables.cases.c.case_no == case_no)).mappings().one()
        assert {name: value for name, value in row.items() if name != "digest"} == columns(case)
        assert read_row(row) == row_of(case)
    assert store.history(case_no) == history
    assert store.case(case_no) == case
    assert store.verify(case_no) == len(history)


def test_the_histories_have_all_that_can_happen() -> None:
    kinds: Counter[str] = Counter()
    lengths: list[int] = []

    @settings(max_examples=300, database=None)
    @given(histories())
    def draw(history: list[CaseEvent]) -> None:
        kinds.update(each.kind for each in history)
        lengths.append(len(history))

    draw()
    assert set(kinds) == set(EventKind), kinds
    assert max(lengths) > 15
