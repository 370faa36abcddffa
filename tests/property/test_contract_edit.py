"""Whatever text a grant brings: the edited file says what was meant, and every other byte is as it was."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from exchange.contract.edit import EditError, rewritten
from exchange.contract.model import Grant
from exchange.document.yaml import MAX_NUMBER, read
from exchange.printable import is_hidden, printable

half = settings(max_examples=settings().max_examples // 2)
HOSTILE = (
    "x\n  - id: stolen\n    fields: all",
    "x\r\n- id: stolen",
    "# not a comment",
    "a: b",
    "}, fields: all, {",
    "- - -",
    "*alias",
    "&anchor x",
    "!!python/object:x",
    "---",
    "...",
    "%YAML 1.1",
    "yes",
    "null",
    "~",
    "1e3",
    "0o17",
    "2026-01-01",
    "12:30:45",
    "'",
    '"',
    "\\",
    "a\u2028b\u2029c\x85d",
    "\ufeffx",
    "\x00\x07\x1b[31m",
    " lead and trail ",
    "《契税法》第十三条",
    "\t",
    "| literal",
    "> folded",
    "<<",
    "=",
    "?0",
    "x" * 500 + " " + "y" * 500,
)
any_texts = st.one_of(st.sampled_from(HOSTILE), st.text(min_size=1, max_size=40))
texts = any_texts.map(lambda text: printable(text, "\n\t"))
names = any_texts.map(lambda text: printable(text, ""))
scalars = st.one_of(
    texts,
    st.integers(-MAX_NUMBER, MAX_NUMBER),
    st.booleans(),
    st.none(),
    st.floats(allow_nan=False, allow_infinity=False),
)
conditions = st.one_of(
    st.fixed_dictionaries({"eq": scalars}),
    st.fixed_dictionaries({"in": st.lists(scalars, min_size=1, max_size=3)}),
    st.fixed_dictionaries({"prefix": texts}),
)
field_names = names.filter(lambda text: text not in ("all", "any", "not"))
wheres = st.recursive(
    st.dictionaries(field_names, conditions, min_size=1, max_size=2),
    lambda inner: st.one_of(
        st.fixed_dictionaries({"any": st.lists(inner, min_size=1, max_size=2)}), st.fixed_dictionaries({"not": inner})
    ),
    max_leaves=3,
)
days = st.dates(date(2000, 1, 1), date(2099, 12, 31))
masks = st.dictionaries(
    names,
    st.sampled_from(["null", "redact", "year", {"kind": "partial", "first": 2}, {"kind": "range", "bounds": [0, 1.5]}]),
    max_size=2,
)


@st.composite
def grants(draw: st.DrawFn, id_: str = "new") -> Grant:
    values: dict[str, Any] = {
        "id": id_,
        "subject": "tax.income",
        "reader": "civil",
        "purpose": {"code": "aid", "basis": draw(texts), "text": draw(texts)},
        "fields": draw(st.one_of(st.just("all"), st.lists(texts, min_size=1, max_size=3))),
        "where": draw(st.one_of(st.just({}), wheres)),
        "masks": draw(masks),
        "from": draw(days),
        "until": draw(days),
        "quota": draw(st.sampled_from([{}, {"records_per_day": 7}])),
    }
    return Grant.model_validate(values)


HEAD = """\
# the contract
version: 1
departments:  # all
  - {id: tax,   title: {zh: 税, en: 'Tax'}}
subjects: [ ]
"""
ONE = """\
  - id: one   # the first
    subject: tax.income
    reader: civil
    purpose: {code: aid, basis: R, text: To see.}
    fields:
      - a   # the key
      - b
    from: 2026-01-01
    until: 2026-12-31
    # until further notice
"""
TWO = """\
  - subject: tax.income
    purpose:
      text: |
        - id: one
        of it

      basis: >-
        folded
        text
      code: aid
    reader: civil
    'id': two
    fields: all
    'from': 2026-01-01
    "until": 2026-12-31 # soon
"""
THREE = """\
  -   {id: three, subject: tax.income, reader: civil, purpose: {code: a, basis: b, text: c}, fields: all,
  from: 2026-01-01, until: 2026-12-31}
"""
FOUR = """\
  -
    # below its dash
    id: four
    subject: tax.income
    reader: civil
    purpose: {code: a, basis: b, text: c}
    fields: all
    from: 2026-01-01
    until: 2026-12-31
"""
ITEMS = {"one": ONE, "two": TWO, "three": THREE, "four": FOUR}
BEFORE = {"one": "  # for aid\n", "two": "\n"}


@dataclass(frozen=True)
class File:
    """How a contract file is written that has the grants `ids`."""

    ids: tuple[str, ...]
    key: str
    end: str
    grants_last: bool
    margin: bool
    newline: str
    mark: bytes

    def data(self, drop: Collection[str] = ()) -> bytes:
        """The file, in which the grants that are dropped never were."""
        body = "".join(BEFORE.get(name, "") + ITEMS[name] * (name not in drop) for name in self.ids)
        if self.margin:
            body = "".join(line.removeprefix("  ") if line.strip() else line for line in body.splitlines(True))
        key = self.key.replace("grants:", "grants: []") if self.ids and set(self.ids) <= set(drop) else self.key
        text = HEAD + key + body + self.end if self.grants_last else key + body + HEAD
        return self.mark + text.replace("\n", self.newline).encode()


@st.composite
def files(draw: st.DrawFn) -> File:
    ids = tuple(draw(st.permutations(sorted(ITEMS)))[: draw(st.integers(0, 4))])
    return File(
        ids,
        "grants:  # who gets what\n" if ids else draw(st.sampled_from(["", "grants:\n", "grants: []  # none\n"])),
        draw(st.sampled_from(["", "# the end\n", "\n\n", "...\n"])),
        draw(st.booleans()),
        draw(st.booleans()) and "three" not in ids,  # what goes on at the margin would be no YAML
        draw(st.sampled_from(["\n", "\r\n"])),
        draw(st.sampled_from([b"", b"\xef\xbb\xbf"])),
    )


def values(data: bytes) -> dict[str, Any]:
    document = read(data)
    assert not document.problems, document.problems
    assert isinstance(document.value, dict)
    return document.value


def others(data: bytes, *ids: str) -> list[str]:
    found = values(data)
    kept = [value for value in found.get("grants") or [] if value["id"] not in ids]
    return [repr(kept), repr({key: value for key, value in found.items() if key != "grants"})]


def written(data: bytes, id_: str) -> Grant:
    [value] = [value for value in values(data)["grants"] if value["id"] == id_]
    return Grant.model_validate(value)


def is_one_insertion(before: bytes, after: bytes) -> bool:
    """Whether `after` is `before` with something put in at one place."""
    same = next((i for i, (x, y) in enumerate(zip(before, after, strict=False)) if x != y), len(before))
    return any(before[:at] + after[at : at + len(after) - len(before)] + before[at:] == after for at in range(same + 1))


@half
@given(files(), grants())
def test_a_grant_is_put_in_and_taken_out_again(file: File, grant: Grant) -> None:
    data = file.data()
    put = rewritten(data, put=[grant])
    assert written(put, "new") == grant
    assert others(put, "new") == others(data, "new")
    assert rewritten(put, put=[grant]) == put
    if file.ids:
        assert is_one_insertion(data, put)
        assert rewritten(put, drop=["new"]) == data


@given(files(), grants(), st.data())
def test_a_grant_changes_where_it_stands(file: File, grant: Grant, data: st.DataObject) -> None:
    assume(file.ids)
    before = file.data()
    id_ = data.draw(st.sampled_from(file.ids))
    old = written(before, id_)
    parts = data.draw(st.sets(st.sampled_from(["purpose", "until", "fields", "where"])))
    new = old.model_copy(update={part: getattr(grant, part) for part in parts})
    after = rewritten(before, put=[new])
    assert written(after, id_) == new
    assert others(after, id_) == others(before, id_)
    assert [value["id"] for value in values(after)["grants"]] == list(file.ids)
    if parts <= {"until"}:
        # One day for another, of the same length: all else is the same, and in the same place.
        changed = [at for at, (x, y) in enumerate(zip(before, after, strict=True)) if x != y]
        assert not changed or changed[-1] - changed[0] < len("2026-12-31")


@given(files(), st.data())
def test_dropped_grants_go_with_their_lines_and_no_others(file: File, data: st.DataObject) -> None:
    drop = data.draw(st.sets(st.sampled_from([*file.ids, "unknown"])))
    after = rewritten(file.data(), drop=drop)
    assert after == file.data(drop)
    assert others(after) == others(file.data(), *drop)


@half
@given(files(), grants())
def test_a_file_without_a_last_line_break_gets_one(file: File, grant: Grant) -> None:
    data = file.data().rstrip(b"\r\n")
    put = rewritten(data, put=[grant])
    assert written(put, "new") == grant
    assert others(put, "new") == others(data, "new")
    assert put.count(b"\n") == put.count(file.newline.encode())


@given(files(), grants(), any_texts.filter(lambda text: any(is_hidden(c) and c not in "\n\t" for c in text)))
def test_what_nobody_would_see_is_not_written(file: File, grant: Grant, text: str) -> None:
    purpose = grant.purpose.model_copy(update={"text": text})
    with pytest.raises(EditError):
        rewritten(file.data(), put=[grant.model_copy(update={"purpose": purpose})])


@given(st.binary(max_size=60), grants())
def test_what_is_no_contract_is_refused_or_kept(data: bytes, grant: Grant) -> None:
    try:
        after = rewritten(data, put=[grant])
    except EditError:
        return
    assert written(after, "new") == grant
