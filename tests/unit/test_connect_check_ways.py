"""`exchange connector check` tries files, servers and web addresses, and names what they lack with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from exchange.connect import extras
from tests.rigs.checked import problems
from tests.rigs.workbooks import write


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
