"""Files that somebody else wrote (contract, connector, requests, plans) are refused in words, whatever is in them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from exchange.connect import load as connector
from exchange.connect.config import SourceConfig
from exchange.contract.load import examine
from exchange.credentials import CredentialsError, file_of
from exchange.document.problem import ContractError
from exchange.errors import ConfigError
from exchange.grants.bulk import parse_value, read_drafts
from exchange.plan import saved
from exchange.printable import is_hidden
from tests.rigs.contracts import CONTRACT, TODAY, write

Reader = Callable[[Path, bytes], None]


def contract(folder: Path, data: bytes) -> None:
    path = write(folder)
    path.write_bytes(data)
    check = examine(path, TODAY)
    if check.contract is None:
        raise ContractError("topics.yaml", check.problems)


def connectors(folder: Path, data: bytes) -> None:
    (folder / "tax").mkdir(exist_ok=True)
    (folder / "tax" / "connector.yaml").write_bytes(data)
    connector.load(folder, "tax")


def requests(folder: Path, data: bytes) -> None:
    (folder / "requests.yaml").write_bytes(data)
    read_drafts(folder / "requests.yaml", {})


def option(_: Path, data: bytes) -> None:
    parse_value(data.decode("utf-8", "surrogateescape"), "--where")


def plans(_: Path, data: bytes) -> None:
    saved.decode(data)


DIGITS = "9" * 4000
HOSTILE = {
    "aliases": "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 40)),
    "an alias of itself": "a: &a [*a]\n",
    "a tag that calls": "a: !!python/object/apply:os.system [touch stolen]\n",
    "a tag of its own": "%TAG ! tag:evil,2000:\n---\na: !x 1\n",
    "a number of 16,000 bits": f"a: 0x{'f' * 4000}\n",
    "a number of 4,000 digits": f"a: {DIGITS}\n",
    "hours and minutes without end": f"%YAML 1.1\n---\na: {':'.join(['59'] * 3000)}\n",
    "a version that YAML does not have": "%YAML 1.3\n---\na: 1\n",
    "brackets without end": "[" * 50_000,
    "dashes without end": "- " * 50_000,
    "a key twice": "a: 1\na: 2\n",
    "a key that is a list": "? [a]\n: 1\n",
    "an escape sequence in a key": '"a\\e[2J": 1\n',
    "an escape sequence in a value": 'a: "\\e]0;title\\a"\n',
    "text turned round": 'a: "\\u202e"\n',
    "a zero character": 'a: "x\\0y"\n',
    "half a character": 'a: "\\ud800"\n',
    "bytes that are no text": "a: \udcff\n",
}


@pytest.fixture(autouse=True)
def _nothing_was_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield
    assert not (tmp_path / "stolen").exists()


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("reader", [contract, connectors, requests, option, plans])
def test_every_reader_refuses_in_few_plain_words(tmp_path: Path, reader: Reader, text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        reader(tmp_path, text.encode("utf-8", "surrogateescape"))
    assert not any(is_hidden(c) for c in str(refused.value).replace("\n", ""))
    assert len(str(refused.value)) < 20_000


PLACES = {
    "a title": ("税务局", "{}"),
    "a legal basis": ("Regulation 1", "{}"),
    "a reader": ("reader: civil", "reader: {}"),
    "a field": ("fields: [resident_id, amount]", "fields: [{}]"),
    "an id": ("id: g1", "id: {}"),
    "a schema": ("schemas/tax/income.avsc", "{}"),
    "a day": ("2026-12-31", "{}"),
    "a quota": ("    until:", "    quota: {{records_per_day: {}}}\n    until:"),
    "a condition": ("    until:", "    where: {{year: {{eq: {}}}}}\n    until:"),
    "a mask": ("    until:", "    masks: {{year: {{kind: range, bounds: [{}]}}}}\n    until:"),
}


@pytest.mark.parametrize("value", ['"\\e[2J"', '"\\u202e"', '"\\0"', '"\\ud800"', f"0x{'f' * 4000}", "9" * 30])
@pytest.mark.parametrize(("old", "new"), PLACES.values(), ids=PLACES.keys())
def test_every_place_of_the_contract_refuses_them(tmp_path: Path, old: str, new: str, value: str) -> None:
    text = CONTRACT.replace(old, new.format(value), 1)
    assert text != CONTRACT
    with pytest.raises(ContractError) as refused:
        contract(tmp_path, text.encode())
    assert not any(is_hidden(c) for c in str(refused.value).replace("\n", ""))


def test_texts_of_several_lines_are_fine(tmp_path: Path) -> None:
    contract(tmp_path, CONTRACT.replace("Regulation 1", '"Regulation\\n1\u3000第一条"').encode())


@pytest.mark.parametrize(
    "path",
    ["../outside.avsc", "../../etc/passwd", "/etc/passwd", "/dev/zero", "schemas/pipe.avsc", "schemas/link.avsc",
     "schemas/loop.avsc", "schemas", "schemas/" + "x" * 300 + ".avsc", "schemas/missing.avsc", ".", ""],
)  # fmt: skip
def test_a_schema_is_a_file_of_the_contracts_folder(tmp_path: Path, path: str) -> None:
    folder = tmp_path / "contract"
    folder.mkdir()
    write(folder)
    outside = tmp_path / "outside.avsc"
    outside.write_bytes((folder / "schemas" / "tax" / "income.avsc").read_bytes())
    os.mkfifo(folder / "schemas" / "pipe.avsc")
    (folder / "schemas" / "link.avsc").symlink_to(outside)
    (folder / "schemas" / "loop.avsc").symlink_to(folder / "schemas" / "loop.avsc")
    with pytest.raises(ContractError) as refused:
        contract(folder, CONTRACT.replace("schemas/tax/income.avsc", f'"{path}"').encode())
    assert refused.value.problems[0].path == "subjects[0].schema"


def test_an_entity_is_a_field(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="field '' is not in the schema"):
        contract(tmp_path, CONTRACT.replace("field: resident_id", 'field: ""').encode())


@pytest.mark.parametrize("name", ["../tax", "/etc/passwd", "tax/../..", "tax\n", "", ".", "..", "tax\0", "税"])
def test_a_principals_file_is_in_its_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(CredentialsError):
        file_of(tmp_path, name)


@pytest.mark.parametrize("pattern", ["../*.csv", "/etc/*", "a\\b"])
def test_a_drop_folders_pattern_leads_nowhere_else(pattern: str) -> None:
    with pytest.raises(ValueError, match="pattern"):
        SourceConfig.model_validate({"subject": "a.b", "csv": {"folder": "drop", "pattern": pattern}})
