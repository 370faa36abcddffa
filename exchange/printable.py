"""Makes text from others fit to be shown: nothing in it can move the cursor, hide, or reverse what is read."""

from __future__ import annotations

import unicodedata

_HIDDEN = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))
"""Unicode's categories of controls (of terminals too), formats (of direction too), surrogates and separators."""


def is_hidden(character: str) -> bool:
    r"""Whether a reader would not see the character itself, but only its effect.

    >>> [is_hidden(c) for c in ("\x1b", "\n", "\u202e", "\ud800", " ", "\u3000", "穗")]
    [True, True, True, True, False, False, False]
    """
    return unicodedata.category(character) in _HIDDEN


def printable(text: str, allowed: str = "\n") -> str:
    r"""The text with hidden characters written out, except those in `allowed`.

    >>> print(printable("tax\x1b[2J\u202e\n穗"))
    tax\x1b[2J\u202e
    穗
    """
    if text.isprintable():
        return text
    return "".join(_shown(c) if is_hidden(c) and c not in allowed else c for c in text)


def _shown(character: str) -> str:
    return character.encode("unicode_escape", "backslashreplace").decode()
