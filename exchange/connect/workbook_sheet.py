"""What is known of a workbook's sheet besides its values, whatever its file's format."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product

from exchange.connect.drop_folder import UnusableFileError

MAX_CELLS = 20_000_000  # of a sheet's rectangle: calamine holds 32 bytes for each
ERROR = "an error, such as #N/A,"
UNCOMPUTED = "a formula that nobody has computed (open the file in Excel and save it)"
DAMAGED = "damaged, or no workbook"
PROTECTED = "protected by a password: save it without one"
Cell = tuple[int, int]


@dataclass
class Sheet:
    """A sheet's cells that have no value, with what they are, and its merged ranges; (row, column) from 0."""

    name: str
    is_hidden: bool = False
    bad: dict[Cell, str] = field(default_factory=dict)
    merged: list[tuple[Cell, Cell]] = field(default_factory=list)
    last_row: int = -1
    last_column: int = -1

    def note(self, rows: range, columns: range, fault: str | None) -> None:
        """Note cells that are not empty; raises UnusableFileError if the sheet becomes too large."""
        self.last_row, self.last_column = max(self.last_row, rows[-1]), max(self.last_column, columns[-1])
        if (self.last_row + 1) * (self.last_column + 1) > MAX_CELLS:
            raise UnusableFileError(
                f"sheet {self.name} reaches to row {self.last_row + 1}, column {self.last_column + 1}: delete what is "
                "out there, or split it"
            )
        if fault:
            self.bad |= dict.fromkeys(product(rows, columns), fault)
