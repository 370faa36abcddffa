"""What is wrong with a file's form is said, never raised, and a small file cannot grow."""

from __future__ import annotations

from datetime import date

import pytest

from exchange.document.yaml import MAX_BYTES, read


def test_values_and_lines() -> None:
    document = read(b"a: 1\nb:\n  - x: 2025-01-02\n  -  'y'\n")
    assert document.value == {"a": 1, "b": [{"x": date(2025, 1, 2)}, "y"]}
    assert [document.line(p) for p in [("a",), ("b", 0, "x"), ("b", 1), ("b", 1, "absent")]] == [1, 3, 4, 4]


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (b"", 1, "empty"),
        (b"# only a comment\n", 1, "empty"),
        (b"a: 1\na: 2\n", 2, "key 'a' is given twice"),
        (b"a: &x 1\nb: *x\n", 2, "alias *x is not allowed"),
        (b"a: &x [*x]\n", 1, "alias *x is not allowed"),
        (b"a:\n  !!python/object/apply:os.system [ls]\n", 2, "tag"),
        (b"a: !!binary eA==\n", 1, "tag"),
        (b"a: 1\nb: [\n", 3, "is not YAML"),
        (b"a: 1\n b: 2\n", 2, "is not YAML"),
        (b"a: 1\n\xff: 2\n", 2, "not UTF-8"),
        (b"a: \x00\n", 1, "is not YAML"),
        (b"a: 1\n---\na: 2\n", 2, "is not YAML"),
        (b"? [1]\n: 2\n", 1, "a key is not plain text"),
        (b"# first\n%YAML 1.1\n---\na: yes\n", 2, "directive %YAML is not allowed"),
        (b"%YAML 1.3\n---\na: yes\n", 1, "directive %YAML is not allowed"),
        (b"%YAML 2.0\n---\na: yes\n", 1, "directive %YAML is not allowed"),
        (b"%YAML 1.2\n%YAML 1.1\n---\na: yes\n", 2, "directive %YAML is not allowed"),
        (b"a: 1\n...\n%YAML 1.3\n---\n", 3, "directive %YAML is not allowed"),
        (b"%TAG ! tag:evil,2000:\n---\na: 1\n", 1, "directive %TAG is not allowed"),
        (b"%WHY not\n---\na: 1\n", 1, "directive %WHY is not allowed"),
        (b"%YAML x\n---\na: 1\n", 1, "is not YAML"),
        (b"[" * 10_000, 1, "nested deeper"),
        (b"a: 1 #" + b"x" * MAX_BYTES, 1, "larger than 4 MiB"),
    ],
)
def test_mistakes_of_form(text: bytes, line: int, message: str) -> None:
    problem = read(text).problems[0]
    assert message in problem.message
    assert problem.line == line
    assert problem.remedy


def test_an_alias_bomb_stays_small() -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 30)]
    document = read("\n".join(lines).encode())
    assert len(document.problems) == 58
    assert len(document.lines) < 120


def test_a_day_that_does_not_exist_is_left_to_the_model() -> None:
    assert read(b"from: 2025-02-30\n").value == {"from": "2025-02-30"}


@pytest.mark.parametrize("head", [b"", b"%YAML 1.2\n---\n", b"%YAML 1.1\n---\n"])
def test_values_are_those_of_yaml_1_2(head: bytes) -> None:
    assert read(head + b"a: yes\nb: true\nc: '4401'\nd: 0o17\ne: ~\nf: 010\n").value == {
        "a": "yes",
        "b": True,
        "c": "4401",
        "d": 15,
        "e": None,
        "f": 10,
    }
