"""Rules of case types: the department's Python, and its text as it was when it made a finding."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from types import ModuleType

from sqlalchemy import Connection, insert, select

from exchange.cases import tables
from exchange.cases.asked import CaseFacts, Conclusion, FactRule
from exchange.cases.case_type import CaseType, Item
from exchange.cases.store import Also, CaseHistoryError, CaseStore
from exchange.errors import ConfigError


class CaseRuleFileError(ConfigError):
    """The Python file of a case type's rule cannot be read."""

    code = "case-rule-file"
    remedy = "put it beside the case type's file; `exchange validate` finds what is wrong with it"


@dataclass(frozen=True)
class PythonRule:
    """A function of a department's Python file, named `file.py:function`; `source` is the whole file."""

    name: str
    source: str

    @property
    def version(self) -> str:
        """The SHA-256 of the file: another one for whatever is changed in it."""
        return sha256(self.source.encode()).hexdigest()

    def __call__(self, facts: CaseFacts) -> Conclusion:
        return _function(self)(facts)


@lru_cache(maxsize=64)
def _function(rule: PythonRule) -> Callable[[CaseFacts], Conclusion]:
    """The rule's function; its file is run once for all cases."""
    file, _, function = rule.name.partition(":")
    module = ModuleType(f"exchange_case_rule_{rule.version}")
    sys.modules[module.__name__] = module  # dataclasses look their module up
    exec(compile(rule.source, file, "exec"), module.__dict__)
    found: Callable[[CaseFacts], Conclusion] = module.__dict__[function]
    return found


@dataclass(frozen=True)
class LoadedType:
    """A case type with the code beside its file, as the engine takes it."""

    case_type: CaseType
    folder: Path

    @property
    def decided_by(self) -> str:
        """The role of who decides."""
        return self.case_type.decided_by

    @property
    def authorised(self) -> bool:
        """Whether nothing is asked without the parties' authorisation."""
        return self.case_type.authorised

    @property
    def items(self) -> tuple[Item, ...]:
        """What is asked."""
        return self.case_type.items

    def parameters_on(self, day: date, region: str) -> Mapping[str, str]:
        """The values of that day and region, as they are written."""
        parameters = self.case_type.in_force(day, region).parameters
        return {name: f"{parameter.value:f}" for name, parameter in parameters.items()}

    def rule_on(self, day: date) -> PythonRule:
        """The rule of that day, as its file is now; raises CaseRuleFileError if it cannot be read."""
        name = self.case_type.rule_on(day).python
        path = self.folder / name.partition(":")[0]
        try:
            return PythonRule(name, path.read_text("utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise CaseRuleFileError(f"{path} cannot be read: {type(error).__name__}") from error


def keep(rule: FactRule) -> Also:
    """What writes down the rule's text beside a finding of it, unless it is there."""
    t = tables.rules

    def write(connection: Connection) -> None:
        if connection.scalar(select(t.c.version).where(t.c.version == rule.version)) is None:
            connection.execute(insert(t).values(version=rule.version, source=rule.source))

    return write


def kept(store: CaseStore, name: str, version: str) -> PythonRule:
    """The rule as it was when it made a finding; raises CaseHistoryError if its text is not what it was."""
    t = tables.rules
    with store.transaction() as connection:
        source = connection.scalar(select(t.c.source).where(t.c.version == version))
    if source is None or PythonRule(name, source).version != version:
        raise CaseHistoryError(f"the text of rule {name}, version {version[:12]}, is not what was written")
    return PythonRule(name, source)
