"""`exchange connector check` names every mistake at once, with its line."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest

from exchange.connect import extras, load, postgres
from exchange.connect.check import check
from exchange.connect.database import Paths
from exchange.connect.sample import samples
from exchange.contract.load import Loaded
from exchange.contract.model import Contract
from exchange.contract.terms import Mask
from exchange.document.problem import Problem
from exchange.schema import avro
from tests.rigs.workbooks import write

INCOME = avro.parse(
    json.dumps(
        {
            "type": "record",
            "name": "Income",
            "fields": [
                {"name": "resident_id", "type": "string"},
                {"name": "year", "type": "int"},
                {"name": "note", "type": ["null", "string"], "default": None},
            ],
        }
    )
)
TITLE = {"zh": "税", "en": "Tax"}
CONTRACT = Contract.model_validate(
    {
        "version": 1,
        "departments": [
            {"id": "tax", "title": TITLE, "credit_code": "11440100MBX01FA1XW"},
            {"id": "civil", "title": TITLE, "credit_code": "11440100MBX02FA1XL"},
        ],
        "subjects": [
            {
                "name": "income",
                "owner": owner,
                "title": TITLE,
                "schema": "x.avsc",
                "entity": {"field": "resident_id", "kind": "person"},
                "key": ["resident_id"],
                "share": "open",
            }
            for owner in ("tax", "civil")
        ],
        "grants": [
            {
                "id": "g1",
                "subject": "civil.income",
                "reader": "tax",
                "purpose": {"code": "p", "basis": "b", "text": "t"},
                "fields": ["resident_id", "note"],
                "masks": {"note": {"kind": "partial", "first": 1}},
                "from": date(2025, 1, 1),
                "until": date(2025, 12, 31),
            }
        ],
    }
)
LOADED = Loaded(CONTRACT, {"tax.income": INCOME, "civil.income": INCOME}, ())


def problems(folder: Path, text: str, loaded: Loaded = LOADED) -> list[Problem]:
    connector = folder / "tax"
    connector.mkdir(exist_ok=True)
    (connector / "connector.yaml").write_text(text)
    with sqlite3.connect(connector / "tax.db") as database:
        database.execute("CREATE TABLE IF NOT EXISTS income (id INTEGER, id_no TEXT, year INTEGER, at TEXT)")
        database.execute("DELETE FROM income")
        rows = [(1, "a", 2024, "2025-01-01 00:00:00"), (2, "b", None, "2025-01-01 00:00:01"), (3, "c", 2024, None)]
        database.executemany("INSERT INTO income VALUES (?, ?, ?, ?)", rows)
    database.close()
    try:
        found = load.load(folder, "tax")
    except load.ConnectorConfigError as error:
        return list(error.problems)
    return check(found, loaded, Paths(found.folder, folder))


def test_a_sample_says_how_fast_rows_are_read_and_publishes_nothing(tmp_path: Path) -> None:
    text = """\
department: tax
database: sqlite:///tax.db
sources:
  - subject: tax.income
    table: income
    cursor: {time: at, id: id}
    columns: {resident_id: id_no}
"""
    problems(tmp_path, text)
    found = load.load(tmp_path, "tax")
    [sample] = samples(found, LOADED, Paths(found.folder, tmp_path), 1000)
    assert (sample.subject, sample.rows, sample.rejected) == ("tax.income", 2, 1)
    assert sample.rows_per_second > 0
    assert str(sample).endswith("10 bytes a record; 1 of 2 rejected")


def test_a_right_connector_gets_warnings_about_its_rows_only(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        """\
department: tax
database: sqlite:///tax.db
sources:
  - subject: tax.income
    table: income
    cursor: {time: at, id: id}
    columns: {resident_id: id_no}
sinks:
  - subject: civil.income
""",
    )
    assert [(p.line, p.path, p.severity) for p in found] == [(5, "sources[0].table", "warning")] * 4
    assert [p.message for p in found] == [
        "1 of the first 2 rows would be rejected: year: null where a value is due",
        "1 rows have no at or no id and are never published",
        "no index begins with at: every look sorts the whole table",
        "there is no column note: note is published with its default",
    ]


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
        ("oracle://x/y", "oracle is not supported"),
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


def test_a_workbook_is_tried_and_another_kind_of_mistake_is_found_at_its_line(tmp_path: Path) -> None:
    text = "department: tax\nsources:\n  - subject: tax.income\n    excel:\n      folder: drop\n"
    (tmp_path / "tax" / "drop").mkdir(parents=True)
    write(tmp_path / "tax" / "drop" / "a.xlsx", [["resident_id", "year"]])
    [found] = problems(tmp_path, text)
    assert found.message == "there is no column note: note is published with its default"
    write(tmp_path / "tax" / "drop" / "a.xlsx", [["resident_id"]])
    [found] = problems(tmp_path, text)
    assert found.message == "a file there would be refused: no column year"
    [found] = problems(tmp_path, text + "      sheets: x\n")
    assert (found.line, found.path) == (6, "sources[0].excel.sheets")


def test_a_parquet_sink_has_a_folder_of_its_own_and_no_table(tmp_path: Path) -> None:
    text = "department: tax\nsinks:\n  - subject: civil.income\n    parquet: {}\n"
    assert problems(tmp_path, text.format("{folder: files}")) == []
    assert not (tmp_path / "tax" / "files").exists()
    [found] = problems(tmp_path, text.format("{folder: files, every: soon}"))
    assert (found.line, found.path) == (4, "sinks[0].parquet.every")
    [found] = problems(tmp_path, text.format("{folder: files}\n    table: t"))
    assert (found.line, found.message) == (3, "`parquet` goes without `table` and `database`")
    (tmp_path / "tax" / "taken").write_text("")
    [found] = problems(tmp_path, text.format("{folder: taken/files}"))
    assert (found.line, found.path) == (4, "sinks[0].parquet")
    sources = "department: tax\nsources:\n  - {subject: tax.income, csv: {folder: files}}\n"
    both = problems(tmp_path, sources + text.removeprefix("department: tax\n").format("{folder: ./files}"))
    [found] = [each for each in both if each.severity == "error"]
    assert (found.line, found.message) == (6, "sources[0] (tax.income) uses this folder, too")


def test_a_remote_folder_needs_a_login_of_its_kind_and_is_tried(tmp_path: Path) -> None:
    text = "department: tax\nsources:\n  - subject: tax.income\n    csv:\n      folder: {}\n"
    login = "      remote: {{{}}}\n"
    for folder, remote, message in (
        ("sftp://h/x", "", "`remote` goes with a folder such as sftp://user@host/folder or s3://bucket/folder"),
        ("ftp://h/x", login.format("key_file: k"), "ftp:// is not supported: write sftp:// or s3://"),
        ("sftp://h/x", login.format("key_file: k"), "sftp:// needs `remote: {known_hosts: …}` with `key_file` or"),
        ("s3://b/x", login.format("key_id: k"), "s3:// needs `remote: {key_id: …, secret_file: …}`"),
        ("sftp://u:p@h/x", login.format("key_file: k, known_hosts: h"), "a password belongs into `password_file`"),
    ):
        [found] = problems(tmp_path, text.format(folder) + remote)
        assert (found.line, found.path) == (4, "sources[0].csv")
        assert message in found.message
    secret = tmp_path / "tax" / "secret"
    secret.write_text("x")
    secret.chmod(0o644)
    [found] = problems(tmp_path, text.format("s3://b/x") + login.format("key_id: k, secret_file: secret"))
    assert (found.line, found.message) == (4, f"{secret}: others may read it")
    secret.chmod(0o600)
    away = "key_id: k, secret_file: secret, endpoint: 'http://127.0.0.1:1'"
    [found] = problems(tmp_path, text.format("s3://b/x") + login.format(away))
    assert (found.line, found.message) == (4, "s3://b/x: EndpointConnectionError")


def test_without_the_extra_the_line_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(extras, "import_module", missing)
    [found] = problems(tmp_path, "department: tax\nsources:\n  - subject: tax.income\n    excel: {folder: drop}\n")
    assert (found.line, found.path, found.message) == (4, "sources[0].excel", "python_calamine is not installed")
    assert found.remedy == "install the extra: pip install 'exchange[excel]'"


@pytest.mark.parametrize("place", ["", "done/20250101T000000000000-000-"])
def test_a_csv_file_is_tried(tmp_path: Path, place: str) -> None:
    text = "department: tax\nsources:\n  - {subject: tax.income, csv: {folder: drop}}\n"
    file = tmp_path / "tax" / "drop" / f"{place}a.csv"
    file.parent.mkdir(parents=True)
    for content, message in (
        ("resident_id,year\n1,2024\n", "there is no column note: note is published with its default"),
        ("resident_id\n1\n", "a file there would be refused: no column year"),
        ('resident_id,year\n1,"2024\n2,2025\n', "a file there would be refused: lines 2 to 3: a quote is never closed"),
    ):
        file.write_text(content)
        assert [(p.path, p.severity, p.message) for p in problems(tmp_path, text)] == [
            ("sources[0].csv", "warning", message)
        ]
        assert file.exists()


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


def deletions(folder: Path, text: str, *, keyed: bool = True) -> list[tuple[int, str, str]]:
    """Line, message and severity of what is wrong with the source's deletions; every other mistake fails the test."""
    key = ("resident_id", "year") if keyed else ()
    subjects = tuple(subject.model_copy(update={"key": key}) for subject in CONTRACT.subjects)
    contract = CONTRACT.model_copy(update={"subjects": subjects})
    (folder / "tax").mkdir(exist_ok=True)
    (folder / "tax" / "connector.yaml").write_text(text)
    with closing(sqlite3.connect(folder / "tax" / "tax.db", isolation_level=None)) as database:
        database.execute("CREATE TABLE income (id INTEGER, id_no TEXT, year INTEGER, note TEXT, at TEXT)")
        database.execute("CREATE INDEX moments ON income (at, id)")
    loaded = Loaded(contract, LOADED.schemas, ())
    found = check(load.load(folder, "tax"), loaded, Paths(folder / "tax", folder))
    assert all(problem.remedy or problem.severity == "warning" for problem in found)
    return [(problem.line, problem.message, problem.severity) for problem in found]


TABLE = """department: tax
database: sqlite:///tax.db
sources:
  - subject: tax.income
    table: income
    cursor: {time: at, id: id}
    columns: {resident_id: id_no}
"""
UNSORTED = "no index begins with the key (id_no, year): each page of keys sorts the whole table"


def test_deletions_that_fit_have_no_problem(tmp_path: Path) -> None:
    text = TABLE + "    deleted: {column: note, values: [gone]}\n    sweep: {every: 1h}\n"
    assert deletions(tmp_path, text) == [(9, UNSORTED, "warning")]


def test_deletions_of_a_subject_without_key_are_a_mistake(tmp_path: Path) -> None:
    text = TABLE + "    deleted: {column: note, values: [gone]}\n    sweep: {every: 1h}\n"
    message = "tax.income has no key: its records are events, which nobody deletes"
    assert deletions(tmp_path, text, keyed=False) == [(8, message, "error"), (9, message, "error")]


def test_a_full_file_of_a_subject_without_key_is_a_mistake(tmp_path: Path) -> None:
    text = (
        'department: tax\nsources:\n  - subject: tax.income\n    csv:\n      folder: "${home}/drop"\n      mode: full\n'
    )
    found = deletions(tmp_path, text, keyed=False)
    assert (6, "tax.income has no key: its records are events, which nobody deletes", "error") in found


def test_a_column_of_deletions_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    text = TABLE + "    deleted:\n      column: notes\n      values: [gone]\n    sweep: {every: 1h}\n"
    assert deletions(tmp_path, text) == [(9, "there is no column notes", "error"), (11, UNSORTED, "warning")]


def test_a_key_without_a_column_is_a_mistake(tmp_path: Path) -> None:
    text = TABLE.replace("id_no", "number") + "    sweep: {every: 1h}\n"
    found = deletions(tmp_path, text)
    assert any(line == 5 and "no column number" in message for line, message, _ in found)


@pytest.mark.parametrize(
    "text",
    [
        TABLE.replace("table: income", "query: SELECT * FROM income") + "    sweep: {every: 1h}\n",
        TABLE + "    brake: 0.1\n",
        TABLE + "    sweep: {every: 1h}\n    transform: transform.py:income\n",
    ],
)
def test_deletions_that_do_not_go_together_are_a_mistake_with_its_line(tmp_path: Path, text: str) -> None:
    [problem] = problems(tmp_path, text)
    assert problem.line == 4
    assert "`" in problem.message


def test_what_the_new_ways_in_and_out_lack_is_said_at_its_line(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        """\
department: tax
sources:
  - subject: tax.income
    http:
      url: http://api.example/incomes
      since: {param: from, field: at}
sinks:
  - subject: civil.income
    webhook:
      url: https://hook.example
""",
    )
    assert [(p.line, p.path) for p in found] == [(5, "sources[0].http.url"), (9, "sinks[0].webhook.secret_file")]
    assert "plain http is for this machine only" in found[0].message
    found = problems(
        tmp_path,
        """\
department: tax
sources:
  - subject: tax.income
    debezium:
      bootstrap_servers: 127.0.0.1:1
      login_file: none.yaml
      topic: oracle.income
sinks:
  - subject: civil.income
    webhook: {url: "https://hook.example", secret_file: none}
""",
    )
    assert [(p.line, p.path) for p in found] == [(4, "sources[0].debezium"), (10, "sinks[0].webhook")]
    assert "none.yaml: cannot be read" in found[0].message
    assert found[1].message == "none cannot be read"
