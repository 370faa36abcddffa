"""What pydantic found wrong with a document, as problems with their lines."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from exchange.document.problem import Path, Problem, dotted, in_words
from exchange.document.yaml import Document

Words = Callable[[ErrorDetails, Path], tuple[str, str]]


def faults(document: Document, error: ValidationError, at: Path = (), words: Words = in_words) -> list[Problem]:
    """Each mistake of the part of the document that begins `at`; `words` says it, and what would be right."""
    found = []
    for fault in error.errors(include_url=False, include_input=False):
        loc = fault["loc"]
        place = (*at, *(loc[:-1] if loc[-1:] == ("[key]",) else loc))  # pydantic's mark behind a mapping's wrong key
        message, remedy = words(fault, place)
        found.append(Problem(document.line(place), dotted(place), message, remedy))
    return found
