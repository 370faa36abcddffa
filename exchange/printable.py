"""Text that somebody else wrote, fit to be shown: nothing in it moves the cursor, hides or turns round what is read."""

from __future__ import annotations

import unicodedata

_HIDDEN = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))
"""Unicode's categories of controls (also of a terminal), of formats (also of direction), halves and separators."""


def is_hidden(character: str) -> bool:
    r"""Whether a reader would not see that character, but what it does.

    >>> [is_hidden(c) for c in ("\x1b", "\n", "\u202e", "\ud800", " ", "\u3000", "穗")]
    [True, True, True, True, False, False, False]
    """
    return unicodedata.category(character) in _HIDDEN


def printable(text: str, allowed: str = "\n") -> str:
    r"""The text with hidden characters written out, but those in `allowed`.

    >>> print(printable("tax\x1b[2J\u202e\n穗"))
    tax\x1b[2J\u202e
    穗
    """
    if text.isprintable():
        return text
    return "".join(_shown(c) if is_hidden(c) and c not in allowed else c for c in text)


def _shown(character: str) -> str:
    return character.encode("unicode_escape", "backslashreplace").decode()
