"""Findings: made of a case's answers by its rule, and made again from its history alone; pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from exchange.cases.asked import CaseFacts, Conclusion, Fact, FactRule
from exchange.cases.case import Case, step
from exchange.cases.events import (
    FACTS,
    INCOMPLETE,
    CaseAmended,
    CaseEvent,
    CaseFinding,
    CaseFound,
    FindingReason,
    MissingAnswer,
    RestsOn,
    json_object,
)
from exchange.cases.shapes import fits
from exchange.errors import ConfigError
from exchange.printable import is_hidden


class RuleError(ConfigError):
    """The rule of a case type fails, or makes no finding: one has reasons, and each rests on an answer."""

    code = "case-rule"
    remedy = "correct the rule's Python file; the engine tries the case again"


@dataclass(frozen=True)
class Remade:
    """A finding of the history, made again; both as JSON."""

    seq: int
    written: bytes
    again: bytes

    @property
    def same(self) -> bool:
        """Whether not one byte differs."""
        return self.written == self.again


def facts_of(case: Case, parameters: Mapping[str, str]) -> CaseFacts:
    """What the case's rule may use now: the latest questions' answers, and those that are missing."""
    facts, missing = [], []
    for question_id in case.current.values():
        asked, answer = case.questions[question_id], case.answers.get(question_id)
        content = (answer and json_object(answer.content)) or {}
        if answer is None:
            missing.append(MissingAnswer(question_id=question_id, department=asked.to, why="late"))
        elif answer.status not in FACTS:
            missing.append(MissingAnswer(question_id=question_id, department=asked.to, why=answer.status))
        elif answer.status == "found" and not fits(asked.answer, content):
            missing.append(MissingAnswer(question_id=question_id, department=asked.to, why="unreadable"))
        else:
            facts.append(Fact(asked.item, asked.party, answer, content))
    values = MappingProxyType(parameters)  # a rule does not change what is written down of it
    return CaseFacts(case.day, case.region, case.parties, values, tuple(facts), tuple(missing))


def make(case: Case, rule: FactRule, parameters: Mapping[str, str]) -> CaseFinding:
    """The case's finding; RuleError if the rule fails.

    If an answer is missing, the outcome is `incomplete` whatever the rule says; if it is one that the type cannot do
    without, the rule is not asked.
    """
    facts = facts_of(case, parameters)
    if not all(case.questions[missing.question_id].optional for missing in facts.missing):
        return CaseFinding(outcome=INCOMPLETE, values={}, reasons=(), missing=facts.missing)
    try:
        return _finding(rule(facts), facts)
    except (Exception, SystemExit) as error:
        # Not the rule's own message, which may hold values of the answers.
        raise RuleError(f"case {case.case_no}: rule {rule.name} fails with {type(error).__name__}") from error


def again(history: Iterable[CaseEvent], rule_again: Callable[[str, str], FactRule]) -> tuple[Remade, ...]:
    """Every finding of the history, made again by the rule and the values of then."""
    case: Case | None = None
    made = []
    for seq, event in enumerate(history, start=1):
        if isinstance(event, CaseFound | CaseAmended) and case is not None:
            finding = make(case, rule_again(event.rule, event.version), event.parameters)
            made.append(Remade(seq, _bytes(event.finding), _bytes(finding)))
        case = step(case, event)
    return tuple(made)


def _finding(concluded: Conclusion, facts: CaseFacts) -> CaseFinding:
    said = [concluded.outcome, *(reason.text for reason in concluded.reasons)]
    if not all(text.strip() for text in said) or not (concluded.reasons or facts.missing):
        raise ValueError("a finding says in words what was found, and why")
    if any(is_hidden(character) for text in (*said, *concluded.values.values()) for character in text):
        raise ValueError("a finding has characters that cannot be shown")
    return CaseFinding(
        outcome=INCOMPLETE if facts.missing else concluded.outcome,
        values=dict(sorted(concluded.values.items())),
        reasons=tuple(
            FindingReason(text=text, rests_on=tuple(_rests_on(each, facts) for each in rests_on))
            for text, rests_on in concluded.reasons
        ),
        missing=facts.missing,
    )


def _rests_on(question_id: str, facts: CaseFacts) -> RestsOn:
    [answer] = [fact.answer for fact in facts.facts if fact.answer.question_id == question_id]
    return RestsOn(question_id=question_id, department=answer.department, data_as_of=answer.data_as_of)


def _bytes(finding: CaseFinding) -> bytes:
    return finding.model_dump_json().encode()
