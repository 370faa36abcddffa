"""Identifiers with valid check digits, computed for whole columns at once."""

from __future__ import annotations

import numpy as np

DISTRICTS = tuple(f"4401{n:02d}" for n in (3, 4, 5, 6, 11, 12, 13, 14, 15, 17, 18))
OUTSIDE = ("440604", "440605", "441900")
"""Neighbouring places, so that a filter on the city's own districts has something to withhold."""

BIRTHPLACES = (
    (440120, 1900, 1982),
    (440121, 1900, 1992),
    (440122, 1900, 1993),
    (440125, 1900, 1992),
    (440126, 1900, 1991),
    (440103, 1984, 9999),
    (440104, 1984, 9999),
    (440105, 1984, 9999),
    (440106, 1986, 9999),
    (440111, 1988, 9999),
    (440112, 1984, 9999),
    (440113, 2001, 9999),
    (440114, 2001, 9999),
    (440115, 2006, 9999),
    (440117, 2015, 9999),
    (440118, 2015, 9999),
)
"""Area codes with the first and last year of birth for which resident IDs use them."""

CREDIT_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_CREDIT_CHARS = np.array(list(CREDIT_ALPHABET))
_RESIDENT_WEIGHTS = np.array([7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2])
_RESIDENT_CHECK = np.array(list("10X98765432"))
_ORGANISATION_WEIGHTS = np.array([3, 7, 9, 10, 5, 8, 4, 2])
_ORGANISATION_CHECK = np.array(list("0123456789X"))
_CREDIT_WEIGHTS = np.array([pow(3, i, 31) for i in range(17)])


def _digits(numbers: np.ndarray, width: int) -> np.ndarray:
    """The decimal digits of each number: int64[n, width]."""
    return numbers[:, None] // 10 ** np.arange(width - 1, -1, -1) % 10


def _joined(characters: np.ndarray) -> list[str]:
    """One string per row of single characters."""
    n, width = characters.shape
    texts: list[str] = np.ascontiguousarray(characters.astype("U1")).view(f"U{width}").reshape(n).tolist()
    return texts


def resident_ids(birth: np.ndarray, male: np.ndarray, rng: np.random.Generator, lowest: int = 0) -> list[str]:
    """A distinct resident ID (GB 11643) per person, with an area code that was in use in the year of birth.

    `birth` is datetime64[D]. The three-digit sequence counts from `lowest` within area, day and sex, and is odd for
    males. At most 499 people fit into one such group.
    """
    year = birth.astype("datetime64[Y]").astype(int) + 1970
    codes, first, last = (np.array(column) for column in zip(*BIRTHPLACES, strict=True))
    used = (first <= year[:, None]) & (year[:, None] <= last)
    nth = (rng.random(len(year)) * used.sum(axis=1)).astype(int)
    district = codes[(used.cumsum(axis=1) > nth[:, None]).argmax(axis=1)]
    month = birth.astype("datetime64[M]").astype(int) % 12 + 1
    day = (birth - birth.astype("datetime64[M]").astype("datetime64[D]")).astype(int) + 1
    date = year * 10_000 + month * 100 + day
    group = (district * 100_000_000 + date) * 2 + male
    order = np.argsort(group, kind="stable")
    ordered = group[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(ordered) else np.empty(0, int)
    rank = np.empty(len(group), dtype=np.int64)
    rank[order] = np.arange(len(group)) - np.repeat(starts, np.diff(np.r_[starts, len(ordered)]))
    sequence = (rank + lowest) * 2 + np.where(male, 1, 2)
    digits = np.hstack([_digits(district, 6), _digits(date, 8), _digits(sequence, 3)])
    check = _RESIDENT_CHECK[digits @ _RESIDENT_WEIGHTS % 11]
    return _joined(np.hstack([digits.astype("U1"), check[:, None]]))


def credit_codes(count: int, first: int = 0) -> list[str]:
    """Distinct unified social credit codes (GB 32100) for the enterprises `first` … `first + count - 1`.

    The organisation code inside (GB 11714) has its own check digit.
    """
    scrambled = np.arange(first, first + count, dtype=np.int64) * 387_420_489 % 31**6
    body = scrambled[:, None] // 31 ** np.arange(5, -1, -1) % 31
    head = np.array([CREDIT_ALPHABET.index(c) for c in "91440101" + "MA"])
    codes = np.hstack([np.broadcast_to(head, (count, len(head))), body])
    # GB 11714 counts all letters; GB 32100 leaves out I, O, S, V and Z.
    plain = np.array([int(c, 36) for c in CREDIT_ALPHABET])
    check = (11 - plain[codes[:, 8:]] @ _ORGANISATION_WEIGHTS % 11) % 11
    inner = np.array([CREDIT_ALPHABET.index(c) for c in _ORGANISATION_CHECK])[check]
    codes = np.hstack([codes, inner[:, None]])
    last = (31 - codes @ _CREDIT_WEIGHTS % 31) % 31
    return _joined(_CREDIT_CHARS[np.hstack([codes, last[:, None]])])
