"""`exchange connector check` names every mistake at once, with its line."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from exchange.connect import load, postgres
from exchange.connect.check import check
from exchange.connect.database import Paths
from exchange.connect.sample import samples
from exchange.contract.load import Loaded
from exchange.contract.terms import Mask
from exchange.document.problem import Problem
from exchange.schema import avro
from tests.rigs.checked import CONTRACT, INCOME, LOADED, SOURCE, problems


def test_a_sample_says_how_fast_rows_are_read_and_publishes_nothing(tmp_path: Path) -> None:
    problems(tmp_path, SOURCE)
    found = load.load(tmp_path, "tax")
    [sample] = samples(found, LOADED, Paths(found.folder, tmp_path), 1000)
    assert (sample.subject, sample.rows, sample.rejected) == ("tax.income", 2, 1)
    assert sample.rows_per_second > 0
    assert str(sample).endswith("10 bytes a record; 1 of 2 rejected")


def test_a_right_connector_gets_warnings_about_its_rows_only(tmp_path: Path) -> None:
    found = problems(tmp_path, SOURCE + "sinks:\n  - subject: civil.income\n")
    assert [(p.line, p.path, p.severity) for p in found] == [(5, "sources[0].table", "warning")] * 4
    assert [p.message for p in found] == [
        "1 of the first 2 rows would be rejected: year: null where a value is due",
        "no index begins with at: every look sorts the whole table",
        "rows without at or id are never published: 1",
        "there is no column note: note is published with its default",
    ]


def test_a_password_that_everybody_sees_is_a_warning(tmp_path: Path) -> None:
    sink = "sinks:\n  - subject: civil.income\n    database: {url: 'postgresql://a:canary-7f3a@127.0.0.1:1/x'}\n"
    found = problems(tmp_path, SOURCE + sink)
    told = [(p.line, p.path, p.message) for p in found if "password" in p.message]
    assert told == [(10, "sinks[0].database", "a password is in the database's URL")]
    assert "canary" not in str(found)


def test_every_mistake_at_once_with_its_line(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        """\
department: tax
database: sqlite:///tax.db
sources:
  - subject: tax.incom
    table: income
    cursor: {time: at, id: id}
  - subject: tax.income
    table: income
    cursor: {time: changed, id: id}
    columns: {resident: id_no}
    transform: transform.py:income
sinks:
  - subject: civil.house
""",
    )
    assert [(p.line, p.path, p.message) for p in found] == [
        (4, "sources[0].subject", "tax owns no subject tax.incom"),
        (8, "sources[1].table", "income has no column changed"),
        (10, "sources[1].columns.resident", "the schema has no field resident"),
        (
            11,
            "sources[1].transform",
            f"{tmp_path.resolve()}/tax/transform.py is not a file of the connector's folder",
        ),
        (13, "sinks[0].subject", "there is no subject civil.house"),
    ]
    assert found[0].remedy == "did you mean tax.income?"


def test_every_mistake_of_form_at_once(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        """\
department: tax
databse: sqlite:///tax.db
sources:
  - subject: tax.income
    table: income
  - subject: tax.income
    csv: {folder: x, encoding: utf-99}
    timezone: Mars/Olympus
    poll_s: 0
sinks:
  - subject: civil
""",
    )
    assert sorted((p.line, p.path) for p in found) == [
        (2, "databse"),
        (4, "sources[0]"),
        (7, "sources[1].csv.encoding"),
        (8, "sources[1].timezone"),
        (9, "sources[1].poll_s"),
        (11, "sinks[0].subject"),
    ]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite:///missing.db", "there is no database file"),
        ("db2://x/y", "db2 is not supported"),
        ("nonsense", "the database URL cannot be read"),
        ("sqlite:///${HOME}/x", "a reference in the file is not known"),
    ],
)
def test_a_database_that_cannot_be(tmp_path: Path, url: str, message: str) -> None:
    text = f"""\
department: tax
database: "{url}"
sources:
  - {{subject: tax.income, table: income, cursor: {{time: at, id: id}}}}
"""
    [found] = problems(tmp_path, text)
    assert found.message.startswith(message)
    assert found.line == 4


@pytest.mark.parametrize("reference", ["../evil.py:f", "/etc/evil.py:f", "evil:f", "sub/evil.py:f"])
def test_code_comes_out_of_the_folder_only(tmp_path: Path, reference: str) -> None:
    (tmp_path / "evil.py").write_text("raise SystemExit('imported')")
    text = f"""\
department: tax
sources:
  - {{subject: tax.income, python: "{reference}"}}
"""
    [found] = problems(tmp_path, text)
    assert found.path == "sources[0].python"


def test_a_link_out_of_the_folder_is_not_imported(tmp_path: Path) -> None:
    (tmp_path / "tax").mkdir()
    (tmp_path / "evil.py").write_text("raise SystemExit('imported')")
    (tmp_path / "tax" / "evil.py").symlink_to(tmp_path / "evil.py")
    text = "department: tax\nsources:\n  - {subject: tax.income, python: 'evil.py:f'}\n"
    [found] = problems(tmp_path, text)
    assert "not a file of the connector's folder" in found.message


EXACT = avro.parse(
    json.dumps(
        {
            "type": "record",
            "name": "Exact",
            "fields": [
                {"name": "resident_id", "type": "string"},
                {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
                {"name": "amount", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
            ],
        }
    )
)


def of_exact(folder: Path, source: str, rounded: str = "{}") -> list[Problem]:
    """What is said of a source with too exact times and amounts."""
    connector = folder / "tax"
    connector.mkdir(exist_ok=True)
    text = "department: tax\ndatabase: sqlite:///tax.db\nsources:\n"
    base = "subject: tax.income, table: income, cursor: {time: at, id: id}"
    (connector / "connector.yaml").write_text(f"{text}  - {{{base}{source}}}\n")
    with sqlite3.connect(connector / "tax.db") as database:
        database.execute("CREATE TABLE IF NOT EXISTS income (id INTEGER, resident_id TEXT, at TEXT, amount TEXT)")
        database.execute("CREATE INDEX IF NOT EXISTS i ON income (at, id)")
        database.execute("DELETE FROM income")
        rows = [(i, "a", f"2025-01-01 00:00:00.12345{i}", "1.234" if i else "1.23") for i in range(5)]
        database.executemany("INSERT INTO income VALUES (?, ?, ?, ?)", rows)
    database.close()
    subjects = [
        s.model_copy(update={"rounded": json.loads(rounded)}) if s.owner == "tax" else s for s in CONTRACT.subjects
    ]
    contract = CONTRACT.model_copy(update={"subjects": tuple(subjects)})
    found = load.load(folder, "tax")
    return check(found, Loaded(contract, {"tax.income": EXACT, "civil.income": INCOME}, ()), Paths(connector, folder))


def test_check_proposes_the_whole_loss_that_would_let_rows_pass(tmp_path: Path) -> None:
    [problem] = of_exact(tmp_path, "")
    assert problem.message == "5 of the first 5 rows would be rejected: at: timestamp finer than a millisecond"
    assert "`round: {at: millis, amount: 2}`" in problem.remedy
    assert "`rounded: {at: millis, amount: 2}`" in problem.remedy


def test_a_loss_is_to_be_in_the_contract_too(tmp_path: Path) -> None:
    loss = '{"at": "millis", "amount": 2}'
    both = ", round: {at: millis, amount: 2}"
    assert of_exact(tmp_path, both, loss) == []
    found = of_exact(tmp_path, both)
    assert (found[0].path, found[0].severity) == ("sources[0].round", "error")
    assert "`rounded: {at: millis}`" in found[0].remedy


SINK = "department: tax\ndatabase: sqlite:///sink.db\nsinks:\n  - {subject: civil.income}\n"


def test_check_tries_what_a_sink_does_and_leaves_no_trace(tmp_path: Path) -> None:
    path = tmp_path / "tax" / "sink.db"
    assert problems(tmp_path, SINK) == []
    assert not path.exists()
    with sqlite3.connect(path) as there:
        there.execute("CREATE TABLE other (a)")
    there.close()
    before = path.read_bytes()
    assert problems(tmp_path, SINK) == []
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.glob("sink.db*")] == ["sink.db"]


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"this is not SQLite, but a text that is long enough " * 20, "the file is not a SQLite database"),
        (None, "the database file cannot be opened"),
    ],
)
def test_check_finds_a_sinks_file_that_is_none(tmp_path: Path, content: bytes | None, cause: str) -> None:
    path = tmp_path / "tax" / "sink.db"
    path.parent.mkdir()
    path.mkdir() if content is None else path.write_bytes(content)
    [found] = problems(tmp_path, SINK)
    assert cause in found.message


def test_check_finds_a_table_without_the_sinks_index(tmp_path: Path) -> None:
    (tmp_path / "tax").mkdir()
    with sqlite3.connect(tmp_path / "tax" / "sink.db") as there:
        there.execute("CREATE TABLE civil_income (resident_id TEXT, note TEXT, _partition INTEGER, _offset INTEGER)")
    there.close()
    [found] = problems(tmp_path, SINK)
    assert "needs one, or a unique index, of (resident_id)" in found.message


def test_a_key_of_a_sink_is_refused_with_its_line_for_the_contract_has_it(tmp_path: Path) -> None:
    text = "department: tax\ndatabase: sqlite:///s.db\nsinks:\n  - subject: civil.income\n    key: [resident_id]\n"
    [found] = problems(tmp_path, text)
    assert str(found) == (
        "line 5, sinks[0].key: error: 'key' is not known here — "
        "remove the line: the subject's `key` in the contract is what tells its rows apart"
    )


def test_check_finds_a_table_that_lacks_the_rows_handles(tmp_path: Path) -> None:
    """The grant hides the subject's key, and the table is from when it did not."""
    [grant] = CONTRACT.grants
    masked = grant.model_copy(update={"masks": {"resident_id": Mask.model_validate({"kind": "pseudonym"})}})
    loaded = Loaded(CONTRACT.model_copy(update={"grants": (masked,)}), LOADED.schemas, ())
    assert problems(tmp_path, SINK, loaded) == []
    with sqlite3.connect(tmp_path / "tax" / "sink.db") as there:
        columns = "resident_id TEXT PRIMARY KEY, note TEXT, _partition INTEGER, _offset INTEGER"
        there.execute(f"CREATE TABLE civil_income ({columns})")
    there.close()
    [found] = problems(tmp_path, SINK, loaded)
    assert "civil_income has no column _row" in found.message


def test_check_says_that_a_sinks_database_is_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "LOCK_S", 0.1)
    (tmp_path / "tax").mkdir()
    with closing(sqlite3.connect(tmp_path / "tax" / "sink.db", isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        [found] = problems(tmp_path, SINK)
    assert "another program holds a lock (SQLITE_BUSY)" in found.message


def test_parts_that_share_a_folder_or_a_table_are_named_with_both_places(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        """\
department: tax
database: sqlite:///tax.db
sources:
  - {subject: tax.income, csv: {folder: drop, pattern: "births-*.csv"}}
  - {subject: tax.deaths, csv: {folder: drop, pattern: "deaths-*.csv"}}
sinks:
  - {subject: civil.income, table: residents}
  - {subject: civil.deaths, table: main.residents}
""",
    )
    shared = [str(p) for p in found if "sources[0]" in p.message or "sinks[0]" in p.message]
    assert shared == [
        "line 5, sources[1].csv.folder: error: sources[0] (tax.income) takes files from there, or keeps its own there"
        " — give each source its own folder",
        "line 8, sinks[1].table: error: sinks[0] (civil.income) fills the table residents, too"
        " — give each sink a table of its own, or say the schema of both",
    ]


def test_optional_columns_are_no_warning_and_others_that_are_named_have_to_be_there(tmp_path: Path) -> None:
    text = """\
department: tax
database: sqlite:///tax.db
sources:
  - subject: tax.income
    table: income
    cursor: {time: at, id: id}
    columns: {resident_id: id_no, note: remark}
    optional: [remark, remrak]
"""
    found = [p for p in problems(tmp_path, text) if "rows" not in p.message and "index" not in p.message]
    assert [str(p) for p in found] == [
        "line 8, sources[0].optional[1]: error: no field is filled from the column remrak — did you mean remark?"
    ]
    found = problems(tmp_path, text.replace("    optional: [remark, remrak]\n", ""))
    assert [(p.severity, p.message) for p in found] == [("error", "income has no column remark")]


def test_a_reference_that_is_not_known_is_a_mistake_like_any_other(tmp_path: Path) -> None:
    text = 'department: tax\nsources:\n  - {subject: tax.income, csv: {folder: "${HOME}/x"}}\n'
    [found] = problems(tmp_path, text)
    assert (found.path, found.message) == ("sources[0].csv", "a reference in the file is not known")


def test_a_table_that_does_not_go_with_what_is_granted_is_told(tmp_path: Path) -> None:
    """The grant masks `note`, and the table is from when it was a number."""
    text = """\
department: tax
database: sqlite:///tax.db
sinks:
  - subject: civil.income
    table: taken
"""
    problems(tmp_path, text)
    with sqlite3.connect(tmp_path / "tax" / "tax.db") as database:
        database.execute("CREATE TABLE taken (resident_id TEXT, note INTEGER, _partition BIGINT, _offset BIGINT)")
    database.close()
    [found] = problems(tmp_path, text)
    assert (found.line, found.path, found.severity) == (5, "sinks[0].table", "error")
    assert (
        "column note is INTEGER, which changes values of the string that is delivered; it has to be TEXT"
        in found.message
    )
    assert "needs one, or a unique index, of (resident_id)" in found.message
    assert "name another `table`" in found.remedy


@pytest.mark.parametrize(
    ("code", "place", "message"),
    [
        ("def income(table): return table['year']", "csv", "income returned ChunkedArray, not a pyarrow.Table"),
        ("def income(table): return table.select(['year'])", "csv", "resident_id: missing"),
        ("def income(row): return row['nothing']", "csv", "transform raised KeyError"),
        ("def income(table, rate): return table", "transform", "income does not take one argument"),
    ],
)
def test_check_says_what_is_wrong_with_a_transform(tmp_path: Path, code: str, place: str, message: str) -> None:
    (tmp_path / "tax" / "files").mkdir(parents=True)
    (tmp_path / "tax" / "files" / "a.csv").write_text("resident_id,year\n4401,2024\n4402,2025\n")
    (tmp_path / "tax" / "transform.py").write_text(code + "\n")
    source = "{subject: tax.income, csv: {folder: files}, transform: transform.py:income}"
    found = problems(tmp_path, f"department: tax\nsources:\n  - {source}\n")
    assert any(each.path == f"sources[0].{place}" and message in each.message for each in found)
