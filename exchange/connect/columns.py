"""Remembers the columns of published rows, so that a column that vanishes does not put nulls over good values."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping

from exchange.connect.database import DatabaseConfigError
from exchange.connect.window import ProgressError

PROGRESS = "columns"


class ColumnGoneError(DatabaseConfigError):
    """A column from which rows were published no longer exists."""

    code = "column-gone"
    remedy = "bring it back, or give its new name under `columns`"


class Columns:
    """The columns that a source had when it published; they are part of its progress.

    `wanted`: the columns from which fields are filled now (None: a transform may use any). `optional`: those that
    may be missing according to the file.
    """

    def __init__(
        self, progress: Mapping[str, bytes], wanted: Collection[str] | None, optional: Collection[str]
    ) -> None:
        self._wanted = wanted
        self._optional = optional
        try:
            self._had = frozenset(json.loads(progress.get(PROGRESS, b"[]")))
        except (ValueError, TypeError) as error:
            raise ProgressError("the progress's columns are not readable") from error

    def gone(self, available: Collection[str]) -> list[str]:
        """The columns that rows had before and still need, but that are not `available`."""
        return sorted(name for name in self._had if self._counts(name) and name not in available)

    def require(self, available: Collection[str], where: str) -> None:
        """Raise ColumnGoneError, about what `where` names, if a column is gone."""
        if gone := ", ".join(self.gone(available)):
            remedy = f"{ColumnGoneError.remedy}; if the fields shall take the schema's defaults from now on, "
            raise ColumnGoneError(f"{where} no longer has column {gone}", remedy=f"{remedy}`optional: [{gone}]`")

    def noted(self, available: Collection[str]) -> dict[str, bytes | None]:
        """The change of progress that remembers the `available` columns; empty if it remembers them already.

        A column that is missing is forgotten if nothing needs it, or if the file calls it optional.
        """
        missing = {name for name in self._had if name not in available and not self._counts(name)}
        now = (self._had - missing) | {n for n in available if self._wanted is None or n in self._wanted}
        if now == self._had:
            return {}
        self._had = now
        return {PROGRESS: json.dumps(sorted(now), ensure_ascii=False).encode()}

    def _counts(self, name: str) -> bool:
        return name not in self._optional and (self._wanted is None or name in self._wanted)
