"""What README and docs say is true: commands parse, links lead somewhere, settings are all there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from exchange.cli.main import exchange
from exchange.settings import Settings

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")


def commands(text: str) -> Iterator[tuple[str, bool]]:
    """Lines of shell blocks, which have to be whole, and `exchange …` or `make …` between backticks, which name one."""
    for language, body in _BLOCK.findall(text):
        if language in ("sh", "bash", "console"):
            yield from ((line.removeprefix("$ "), True) for line in body.splitlines())
    yield from ((mention, False) for mention in re.findall(r"`((?:exchange|make) [^`…<]+)`", _BLOCK.sub("", text)))


def examples() -> list[tuple[str, list[str], bool]]:
    found = []
    for page in PAGES:
        for command, whole in commands(page.read_text()):
            words = shlex.split(command, comments=True)
            while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
                words = words[1:]
            if words and words[0].rpartition("/")[2] in ("exchange", "make"):
                found.append((page.name, words, whole))
    return found


def parse(words: list[str]) -> None:
    """Raise click's error where the command line would be refused; nothing is run."""
    command: click.Command = exchange
    context = click.Context(exchange, info_name="exchange", resilient_parsing=False)
    rest = words[1:]
    while isinstance(command, click.Group) and rest:
        name, found, rest = command.resolve_command(context, rest)
        assert found is not None
        command = found
        context = click.Context(command, info_name=name, parent=context)
    if rest or not isinstance(command, click.Group):
        command.parse_args(context, list(rest))


@pytest.mark.parametrize(("page", "words", "whole"), examples(), ids=str)
def test_command_parses(page: str, words: list[str], whole: bool) -> None:
    if words[0].endswith("make"):
        targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert {w for w in words[1:] if "=" not in w} <= set(targets)
        return
    try:
        parse(words)
    except click.MissingParameter:
        assert not whole


def anchors(page: Path) -> set[str]:
    """What GitHub makes of the headings of a page, in links to them."""
    headings = re.findall(r"^#+ (.*)$", _BLOCK.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_examples_are_found() -> None:
    assert len(examples()) >= 15


@pytest.mark.parametrize(
    "words", [["exchange", "no-such"], ["exchange", "apply", "--no-such"], ["exchange", "connector", "run"]]
)
def test_wrong_commands_are_noticed(words: list[str]) -> None:
    with pytest.raises(click.UsageError):
        parse(words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in _LINK.findall(page.read_text()):
        if "://" not in target:
            name, _, anchor = target.partition("#")
            linked = page.parent / name if name else page
            assert linked.exists(), target
            assert not anchor or anchor in anchors(linked), target


def test_contributing_names_files_that_exist() -> None:
    named = re.findall(r"`((?:exchange|tests|docs|schemas)/[\w/.]*)`", (ROOT / "CONTRIBUTING.md").read_text())
    assert len(named) >= 20
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_the_glossary_has_twenty_words() -> None:
    words = re.findall(r"^\| \*\*([a-z]+)\*\* \|", (ROOT / "docs" / "glossary.md").read_text(), re.MULTILINE)
    assert len(words) == len(set(words)) == 20


def path() -> list[tuple[str, int, int]]:
    """What architecture.md says to read in ten minutes: each row's place, its lines as said there, and as they are."""
    page = (ROOT / "docs" / "architecture.md").read_text()
    found = []
    for place, entries, said in re.findall(r"^\| `([\w./-]+)`(?:: ([^|]*))? \| (\d+) \|", page, re.MULTILINE):
        text = (ROOT / place).read_text()
        if names := re.findall(r"`([\w-]+)`", entries):
            parts = [re.findall(rf"^  - (?:id|name): {name}\n(?:    .*\n)+", text, re.MULTILINE) for name in names]
            text = "".join(part for those in parts for part in those) if all(parts) else ""
        found.append((place, int(said), text.count("\n")))
    return found


def test_the_first_reading_is_short() -> None:
    rows = path()
    rooms = [place.removeprefix("exchange/").partition("/")[0] for place, _, _ in rows]
    assert list(dict.fromkeys(rooms)) == ["topics.yaml", "contract", "policy", "router", "ledger", "connectors"]
    assert sum(lines for _, _, lines in rows) < 800
    assert [row for row in rows if not row[2] or abs(row[1] - row[2]) > 5] == []


def test_settings_table_is_true() -> None:
    rows = re.findall(r"^\| `(EXCHANGE_\w+)` \| *(.*?) *\| (.*?) \|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    said = {name: (default.strip("`"), meaning) for name, default, meaning in rows}
    fields = Settings.model_fields
    true = {f"EXCHANGE_{n.upper()}": (str(f.default or ""), f.description) for n, f in fields.items()}
    assert said == true
