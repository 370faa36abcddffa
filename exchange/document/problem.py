"""One mistake in the contract file: where it is, what is wrong, and what would be right."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from exchange.errors import ConfigError

Path = tuple[str | int, ...]
Severity = Literal["error", "warning"]


@dataclass(frozen=True, order=True)
class Problem:
    """A mistake at a line (from 1) and a path such as `grants[3].fields[1]`."""

    line: int
    path: str
    message: str
    remedy: str = ""
    severity: Severity = "error"

    def __str__(self) -> str:
        place = f"line {self.line}" + (f", {self.path}" if self.path else "")
        return f"{place}: {self.severity}: {self.message}" + (f" — {self.remedy}" if self.remedy else "")


def dotted(path: Path) -> str:
    """The place of a value in its document, as people write it.

    >>> dotted(("grants", 3, "fields", 1))
    'grants[3].fields[1]'
    """
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


class ContractError(ConfigError):
    """The contract file has mistakes; `problems` are all of them, by line."""

    code = "contract"
    remedy = "correct each line that is named; `exchange validate` checks the file"

    def __init__(self, source: str, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        lines = "\n".join(f"  {problem}" for problem in self.problems)
        super().__init__(f"{source} has {len(self.problems)} mistakes:\n{lines}")
