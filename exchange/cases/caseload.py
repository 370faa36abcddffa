"""The cases of one department: its case types, the store in its database, what persons do and what the engine does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from exchange.cases import load
from exchange.cases.acts import CaseActs
from exchange.cases.case_database import own_database
from exchange.cases.case_row import CaseRow
from exchange.cases.clocks import case_due
from exchange.cases.engine import CaseEngine
from exchange.cases.rules import LoadedType
from exchange.cases.states import CaseState
from exchange.cases.store import CaseStore
from exchange.connect import database
from exchange.connect.database import Paths
from exchange.connect.load import Connector
from exchange.errors import ConfigError
from exchange.workdays import Calendar, Due


class NoCaseTypeError(ConfigError):
    """The department runs no cases."""

    code = "no-case-type"
    remedy = "describe one in the folder `cases` beside the department's connector.yaml"


@dataclass(frozen=True)
class Caseload:
    """What a department's cases need, opened."""

    store: CaseStore
    acts: CaseActs
    engine: CaseEngine
    types: Mapping[str, LoadedType]
    calendar: Calendar

    def due(self, case: CaseRow, today: date) -> Due | None:
        """The last day on which the case is decided in time; None if nothing is to be decided any more."""
        if case.state in (CaseState.DECIDED, CaseState.CLOSED) or case.type not in self.types:
            return None
        its = self.types[case.type].case_type
        return case_due(its, case.opened_on, case.stops, today, self.calendar)


def types(folder: Path, today: date) -> Mapping[str, LoadedType]:
    """The case types in a department's folder, by name; raises CaseTypeError at the first file with mistakes.

    What they need of the contract is not checked here: `exchange validate` does.
    """
    own = [path for path in load.files(folder.parent) if path.parent.parent == folder]
    return {path.stem: LoadedType(load.sound(path, None, today), path.parent) for path in own}


@contextmanager
def caseload(connector: Connector, home: Path, calendar: Calendar, today: date) -> Iterator[Caseload]:
    """The department's cases, until the block ends; raises NoCaseTypeError if it has none."""
    department = connector.config.department
    known = types(connector.folder, today)
    if not known:
        raise NoCaseTypeError(f"{department} has no case type in {connector.folder / load.FOLDER}")
    paths = Paths(connector.folder, home)
    url = database.url(own_database(connector, paths), paths)
    with closing(CaseStore(url.render_as_string(hide_password=False))) as store:
        answers = {sink.subject.removesuffix(".answer"): sink.table_name for sink in connector.config.sinks}
        engine = CaseEngine(department, store, known, calendar, answers)
        yield Caseload(store, CaseActs(store, known), engine, known, calendar)
