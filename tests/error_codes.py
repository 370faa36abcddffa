"""`python -m tests.error_codes`: docs/errors.md, made from the errors' classes."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import exchange
from exchange.bus.refusals import KNOWN
from exchange.errors import ConfigError, CorruptionError, ExchangeError, RecordError, TransientError
from tests.rigs import dameng  # noqa: F401 – stands for a driver that is not installed

PAGE = Path(__file__).parents[1] / "docs" / "errors.md"
BRANCHES = (ConfigError, RecordError, TransientError, CorruptionError)
HEAD = """# Error codes

Every error has a code that stays the same from version to version: in `error [code]: …` of a command, in the field
`code` of logs, in metrics and on `/healthz`. This page is made from the code by `python -m tests.error_codes`.
An error that knows a more exact remedy than its line here says it itself.
"""
REFUSALS = """
## Codes of partitions that a router leaves aside

What takes no records, or cannot be read, holds up its own partitions only. `exchange_suspended_partitions` counts them
by these codes, by `gap` and `quota-unclaimed` (above), and by `subject-unready`: what is granted of a subject cannot be
made, so mend its schema or its grants, then `exchange apply`.

| code | meaning | remedy |
|---|---|---|
"""


def leaves(of: type[ExchangeError]) -> Iterator[type[ExchangeError]]:
    """All classes below, wherever in the package."""
    for module in pkgutil.walk_packages(exchange.__path__, "exchange."):
        if not module.name.endswith("__main__"):
            import_module(module.name)
    yield from _below(of)


def _below(of: type[ExchangeError]) -> Iterator[type[ExchangeError]]:
    for one in of.__subclasses__():
        if one.__module__.startswith("exchange."):
            if one not in BRANCHES:
                yield one
            yield from _below(one)


def faults(of: type[ExchangeError]) -> Iterator[str]:
    """What is wrong with the codes of the classes below."""
    owner: dict[str, str] = {}
    for leaf in leaves(of):
        missing = [name for name in ("code", "remedy", "__doc__") if not vars(leaf).get(name)]
        if missing:
            yield f"{leaf.__name__} has no {' and no '.join(missing)} of its own"
        if leaf.code in owner:
            yield f"{leaf.__name__} has the code of {owner[leaf.code]}"
        if not all(word.isalnum() and word.islower() for word in leaf.code.split("-")):
            yield f"{leaf.__name__}: {leaf.code} is not words with hyphens"
        owner.setdefault(leaf.code, leaf.__name__)


def page() -> str:
    """The page as it should be."""
    parts = [HEAD]
    for branch in BRANCHES:
        parts.append(f"\n## {branch.__name__}: exit status {branch.exit_status}\n\n{branch.__doc__}\n\n")
        parts.append("| code | meaning | remedy |\n|---|---|---|\n")
        parts += sorted(
            _row(leaf.code, (leaf.__doc__ or "").partition("\n")[0], leaf.remedy) for leaf in leaves(branch)
        )
    parts.append(REFUSALS)
    parts += sorted(
        {_row(code, told.format(topic="TOPIC", partition="N"), what) for code, told, what in KNOWN.values()}
    )
    return "".join(parts)


def _row(code: str, meaning: str, remedy: str) -> str:
    return f"| `{code}` | {meaning} | {remedy} |\n"


if __name__ == "__main__":
    PAGE.write_text(page())
