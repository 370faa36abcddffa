"""One mistake in a file that a person wrote: at which line, what is wrong, and what would be right."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic_core import ErrorDetails

from exchange.errors import ConfigError

Path = tuple[str | int, ...]
Severity = Literal["error", "warning", "note"]


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
    """The path of a value in its document, as people write it.

    >>> dotted(("grants", 3, "fields", 1))
    'grants[3].fields[1]'
    """
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def in_words(fault: ErrorDetails, place: Path) -> tuple[str, str]:
    """Turn a mistake that pydantic found into words: (what is wrong at `place`, what would be right or "")."""
    if fault["type"] == "extra_forbidden":
        return f"'{place[-1]}' is not known here", ""
    if fault["type"] == "missing":
        return f"'{place[-1]}' is missing", f"give `{place[-1]}: …`"
    if fault["type"] == "too_short":
        return f"it needs at least {fault['ctx']['min_length']} item that is in order", ""
    message = fault["msg"].removeprefix("Value error, ").replace("a valid tuple", "a list")
    return message[0].lower() + message[1:], ""


def listed(source: str, problems: Sequence[Problem]) -> str:
    """The message of an error that has all mistakes of a file, each on its line."""
    count = "a mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
    return "\n".join([f"{source} has {count}:", *(f"  {problem}" for problem in problems)])


class ContractError(ConfigError):
    """The contract file has mistakes; `problems` are all of them, by line."""

    code = "contract"
    remedy = "correct each line that is named; `exchange validate` checks the file"

    def __init__(self, source: str, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__(listed(source, self.problems))
