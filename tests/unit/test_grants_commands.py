"""`exchange grant` without a cluster: requests, one or many, what becomes of them, and what is told of them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from exchange.cli import grant_desk
from exchange.cli.grant import grant
from exchange.contract.file import edit
from exchange.document.problem import ContractError
from exchange.errors import ConfigError, ExchangeError
from exchange.grants import desk
from exchange.grants.life import WrongActorError, WrongStateError
from exchange.grants.propose import RequestMistakesError
from exchange.workdays import Calendar, HolidaysError
from tests.rigs.contracts import CONTRACT, INCOME, write

SUBJECTS = """\
  - name: arrears   # open to all
    owner: tax
    title: {zh: 欠税, en: Arrears}
    schema: schemas/tax/arrears.avsc
    entity: {field: resident_id, kind: person}
    share: open
  - name: secret
    owner: tax
    title: {zh: 密, en: Secret}
    schema: schemas/tax/arrears.avsc
    entity: {field: resident_id, kind: person}
    share: closed
"""
FILE = CONTRACT.replace("grants:", SUBJECTS + "grants:").replace("credit_code: 11440100MBX02FA1XL\n", """\
credit_code: 11440100MBX02FA1XL
  - id: health
    title: {zh: 卫健委, en: Health}
    credit_code: 11440100MBX11FA1XF
""")  # fmt: skip
WHY = ("--purpose", "aid", "--basis", "Law, art. 1", "--text", "To see.", "--until", "2026-12-31")
Command = Callable[..., Any]


class Moment(datetime):
    """The clock of the commands: 2026-06-01, 10:00 in the city, a Monday, moved by tests."""

    at = datetime(2026, 6, 1, 2, tzinfo=UTC)

    @classmethod
    def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
        return cls.at


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = write(tmp_path, FILE, arrears=INCOME)
    monkeypatch.setenv("EXCHANGE_CONTRACT", str(path))
    monkeypatch.setenv("EXCHANGE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("EXCHANGE_AUTHORITY", "bureau")
    monkeypatch.setattr(grant_desk, "datetime", Moment)
    monkeypatch.setattr(Moment, "at", Moment.at)
    return path


@pytest.fixture
def run(file: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run a command as `<person>@<department>`; its output, read where it is JSON."""

    def run(actor: str, *arguments: str) -> Any:
        person, _, department = actor.partition("@")
        monkeypatch.setenv("EXCHANGE_OPERATOR", person)
        result = CliRunner().invoke(grant, [*arguments, "--department", department], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout) if "json" in arguments else result.stdout

    return run


def test_a_request_becomes_a_grant_in_the_file(run: Command, file: Path) -> None:
    told = run("wang@health", "request", "--subject", "tax.income", "--fields", "resident_id, year", *WHY,
               "--where", "{year: {ge: 2024}}", "--masks", "{resident_id: pseudonym}")  # fmt: skip
    assert "Request 1 for tax.income waits for bureau" in told
    assert "then tax to answer within 5" in told
    run("li@bureau", "review", "1", "--note", "No more than needed.")
    run("zhao@tax", "answer", "1", "--agree")
    assert file.read_text() == FILE
    told = run("li@bureau", "approve", "1")
    assert "exchange apply" in told
    assert file.read_text() == FILE + (
        "  - id: health.income.1\n    subject: tax.income\n    reader: health\n    purpose:\n      code: aid\n"
        "      basis: Law, art. 1\n      text: To see.\n    fields: [resident_id, year]\n"
        "    where: {year: {ge: 2024}}\n    masks: {resident_id: pseudonym}\n    from: 2026-06-01\n"
        "    until: 2026-12-31\n"
    )
    shown = run("wang@health", "show", "1", "--output", "json")
    assert (shown["state"], shown["days_left"], shown["content"]["fields"]) == (
        "in-force",
        213,
        ["resident_id", "year"],
    )
    assert [(e["act"], e["person"], e["department"], e["reason"]) for e in shown["history"]] == [
        ("request", "wang", "health", ""),
        ("review", "li", "bureau", "No more than needed."),
        ("agree", "zhao", "tax", ""),
        ("approve", "li", "bureau", ""),
    ]
    assert shown == run("wang@health", "show", "health.income.1", "--output", "json")


def test_many_subjects_at_once_or_none(run: Command, tmp_path: Path) -> None:
    bulk = tmp_path / "bulk.yaml"
    bulk.write_text(
        "- subject: tax.income\n  fields: [resident_id, yaer]\n  until: 2026-02-30\n- subject: tax.secret\n"
        "  fields: all\n- subject: tax.arrears\n  fields: all\n  colour: red\n"
    )
    with pytest.raises(RequestMistakesError) as refused:
        run("wang@health", "request", "--file", str(bulk), *WHY)
    told = str(refused.value)
    for part in (
        "line 2, tax.income: fields[1]: field 'yaer' is not in the schema",
        "did you mean year?",
        "line 3, tax.income: until:",
        "line 4, tax.secret: subject: subject 'tax.secret' is closed",
        "line 8, tax.arrears: colour: 'colour' is not known here",
    ):
        assert part in told
    assert run("wang@health", "list", "--state", "requested", "--output", "json") == []
    bulk.write_text(
        "- subject: tax.income\n  fields: [year]\n- {subject: tax.arrears, fields: all, purpose: {text: Another.}}\n"
    )
    made = run("wang@health", "request", "--file", str(bulk), *WHY, "--output", "json")
    assert [(one["request"], one["grant"], one["conditional"]) for one in made] == [
        (2, "health.income.2", True),
        (3, "health.arrears.3", False),
    ]
    assert run("wang@health", "show", "3", "--output", "json")["content"]["purpose"]["text"] == "Another."


def test_many_subjects_from_csv(run: Command, tmp_path: Path) -> None:
    bulk = tmp_path / "bulk.csv"
    bulk.write_bytes(
        '\ufeffsubject,fields,basis\r\ntax.income,resident_id year,"Law, art. 2"\r\ntax.arrears,all,\r\n'.encode()
    )
    run("wang@health", "request", "--file", str(bulk), *WHY)
    first, second = (run("wang@health", "show", n, "--output", "json")["content"] for n in "12")
    assert (first["fields"], first["purpose"]["basis"]) == (["resident_id", "year"], "Law, art. 2")
    assert (second["fields"], second["purpose"]["basis"]) == ("all", "Law, art. 1")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.csv", b"subject,id\ntax.income,x\n"),
        ("a.csv", b"fields\nall\n"),
        ("a.csv", b"subject,fields\ntax.income\n"),
        ("a.csv", b"subject,fields\ntax.income,all,more\n"),
        ("a.csv", b'subject,fields\n"tax.income,all\n'),
        ("a.csv", b"subject\n\xff\n"),
        ("a.csv", b""),
        ("a.csv", b"subject\n" + b"tax.income\n" * 1001),
        ("a.csv", b"subject,fields\n=cmd|' /C calc'!A0,\x1b[2J\n"),
        ("a.csv", b"subject,fields\n" + b"x" * 200_000 + b",all\n"),
        ("a.yaml", b"subject: tax.income\n"),
        ("a.yaml", b"- [x]\n"),
        ("a.yaml", b"[]\n"),
        ("a.yaml", b"- {subject: tax.income, reader: tax}\n"),
        ("a.yaml", b"- {subject: tax.income, id: g1}\n"),
        ("a.yaml", b"- !!python/object:os.system {subject: x}\n"),
        ("a.yaml", b"- &a {subject: tax.income}\n- *a\n"),
        ("a.yaml", b'- {subject: "tax.income\\e[2J", fields: all}\n'),
        ("a.yaml", b"- {subject: [tax.income], fields: all}\n"),
        ("a.yaml", b"- {subject: tax.income, fields: all, purpose: x}\n"),
        ("a.yaml", b"- {subject: tax.income, fields: {a: b}, where: [], masks: 5}\n"),
    ],
)
def test_hostile_files_are_refused_in_plain_words(run: Command, tmp_path: Path, name: str, data: bytes) -> None:
    bulk = tmp_path / name
    bulk.write_bytes(data)
    with pytest.raises((RequestMistakesError, ContractError)) as refused:
        run("wang@health", "request", "--file", str(bulk), *WHY)
    assert all(c.isprintable() or c == "\n" for c in str(refused.value))
    assert run("wang@health", "list", "--state", "requested", "--output", "json") == []


def test_what_is_asked_for_already_or_granted_is_refused(run: Command) -> None:
    ask = ("request", "--subject", "tax.income", "--fields", "year", *WHY)
    run("wang@health", *ask)
    with pytest.raises(RequestMistakesError, match="request 1 of health for it is not decided"):
        run("chen@health", *ask)
    with pytest.raises(RequestMistakesError, match="overlaps with grant 'g1'"):
        run("wang@civil", *ask)
    with pytest.raises(RequestMistakesError, match="the reader owns the subject"):
        run("zhao@tax", *ask)


@pytest.mark.parametrize("reason", ["", "--reason=\x07"])
def test_refusals_give_reasons(run: Command, reason: str) -> None:
    run("wang@health", "request", "--subject", "tax.income", "--fields", "year", *WHY)
    run("li@bureau", "review", "1")
    for command in (("zhao@tax", "answer", "1", "--refuse"), ("li@bureau", "reject", "1")):
        with pytest.raises(ExchangeError, match="the reason"):
            run(*command, *filter(None, [reason]))
    run("zhao@tax", "answer", "1", "--refuse", "--reason", "More than the purpose needs.")
    shown = run("wang@health", "show", "1", "--output", "json")
    assert (shown["state"], shown["history"][-1]["reason"]) == ("rejected", "More than the purpose needs.")
    run("wang@health", "request", "--subject", "tax.income", "--fields", "year", *WHY)


def test_a_grant_is_renewed_where_it_stands(run: Command, file: Path) -> None:
    with pytest.raises(ConfigError, match="is civil's"):
        run("wang@health", "renew", "g1", "--until", "2027-12-31", "--reason", "Goes on.")
    with pytest.raises(ConfigError, match="as it is"):
        run("wang@civil", "renew", "g1", "--until", "2026-12-31", "--reason", "Goes on.")
    run("wang@civil", "renew", "g1", "--until", "2027-12-31", "--reason", "The programme goes on.")
    run("li@bureau", "review", "1")
    run("zhao@tax", "answer", "1", "--agree")
    with pytest.raises(WrongActorError):
        run("wang@bureau", "approve", "1")
    run("li@bureau", "approve", "1")
    assert file.read_text() == FILE.replace("until: 2026-12-31", "until: 2027-12-31")


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("fields: [resident_id, amount]", "fields: [amount]", "not the one that was asked for"),
        ("id: g1", "id: g2", "is gone"),
    ],
)
def test_a_renewal_does_not_undo_what_was_changed_since(
    run: Command, file: Path, old: str, new: str, error: str
) -> None:
    run("wang@civil", "renew", "g1", "--until", "2027-12-31", "--reason", "Goes on.")
    run("li@bureau", "review", "1")
    run("zhao@tax", "answer", "1", "--agree")
    edit(file, lambda data: data.replace(old.encode(), new.encode()))
    changed = file.read_text()
    with pytest.raises(WrongStateError, match=error):
        run("li@bureau", "approve", "1")
    assert file.read_text() == changed
    assert run("wang@civil", "show", "1", "--output", "json")["state"] == "agreed"


def test_approval_writes_nothing_that_is_no_contract(run: Command, file: Path) -> None:
    run("wang@health", "request", "--subject", "tax.arrears", "--fields", "year", *WHY)
    edit(file, lambda data: data.replace(b"share: open", b"share: closed"))
    with pytest.raises(ExchangeError, match="closed"):
        run("li@bureau", "approve", "1")
    assert "health.arrears.1" not in file.read_text()


def test_what_is_late_is_seen(run: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run("wang@health", "request", "--subject", "tax.income", "--fields", "year", *WHY)
    assert run("wang@health", "list", "--overdue", "--output", "json") == []
    monkeypatch.setattr(Moment, "at", Moment.at + timedelta(days=3))
    [late] = run("wang@health", "list", "--overdue", "--output", "json")
    assert (late["request"], late["due"], late["due_in_all"], late["waits_for"]) == (
        1,
        "2026-06-03",
        "2026-06-10",
        "bureau",
    )
    assert "OVERDUE" in run("wang@health", "list", "--reader", "health")
    assert "OVERDUE" in run("wang@health", "show", "1")
    run("wang@health", "notify", "--metrics-file", str(tmp_path / "grants.prom"))
    samples = (tmp_path / "grants.prom").read_text()
    assert 'exchange_grant_requests{status="requested"} 1.0' in samples
    assert 'exchange_grant_requests_overdue{status="requested"} 1.0' in samples
    [end] = re.findall(r'exchange_grant_expiry_timestamp_seconds\{grant="g1"\} (\S+)', samples)
    assert float(end) == datetime(2026, 12, 31, 16, tzinfo=UTC).timestamp()


def test_a_time_that_reaches_into_a_year_of_unknown_holidays(
    run: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Asked for on the 28th of December, two weeks before the year's holidays are known to anyone."""
    last = Calendar().known_until
    monkeypatch.setattr(Moment, "at", datetime(last.year, 12, 28, 2, tzinfo=UTC))
    far = (*WHY[:-1], f"{last.year + 3}-12-31")
    run("wang@health", "request", "--subject", "tax.income", "--fields", "year", *far)
    shown = run("wang@health", "show", "1")
    assert re.search(rf"due {last.year}-12-\d\d, all of it {last.year + 1}-01-\d\d \(provisional\): in time", shown)
    assert "EXCHANGE_HOLIDAYS" in shown
    monkeypatch.setattr(Moment, "at", datetime(last.year + 1, 2, 1, 2, tzinfo=UTC))
    run("li@bureau", "review", "1")
    [late] = run("wang@health", "list", "--overdue", "--output", "json")
    assert (late["provisional"], late["overdue"]) == (True, True)
    assert "OVERDUE (provisional)" in run("wang@health", "list")
    prom = tmp_path / "grants.prom"
    run("cron@bureau", "notify", "--metrics-file", str(prom))
    assert 'exchange_grant_requests_overdue{status="reviewed"} 1.0' in prom.read_text()

    file = tmp_path / "holidays.yaml"
    file.write_text(f"- {{year: {last.year + 1}, off: [{last.year + 1}-01-01]}}")
    monkeypatch.setenv("EXCHANGE_HOLIDAYS", str(file))
    [late] = run("wang@health", "list", "--overdue", "--output", "json")
    assert (late["provisional"], late["overdue"]) == (False, True)
    run("cron@bureau", "notify", "--metrics-file", str(prom))
    [known] = re.findall(r"\nexchange_grant_holidays_known_until_timestamp_seconds (\S+)", prom.read_text())
    assert float(known) == datetime(last.year + 1, 12, 31, 16, tzinfo=UTC).timestamp()
    file.write_text("- 2027")
    with pytest.raises(HolidaysError, match="line 1"):
        run("wang@health", "list")


def test_ends_are_told_once_each(run: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    end, told = datetime(2026, 12, 31, 2, tzinfo=UTC), []
    for left in (100, 90, 89, 45, 44, 20, 7, 6, 0, -1):
        monkeypatch.setattr(Moment, "at", end - timedelta(days=left))
        for _ in range(2):
            told += [(left, n["grant"], n["notice_days"]) for n in run("cron@bureau", "notify", "--output", "json")]
    assert told == [(90, "g1", 90), (45, "g1", 45), (20, "g1", 30), (7, "g1", 7)]
    assert run("cron@bureau", "notify") == ""


def test_a_request_behind_a_renewal_is_still_shown(run: Command) -> None:
    run("wang@health", "request", "--subject", "tax.arrears", "--fields", "year", *WHY)
    run("li@bureau", "approve", "1")
    run("wang@health", "renew", "health.arrears.1", "--until", "2027-06-30", "--reason", "Goes on.")
    run("li@bureau", "approve", "2")
    for id_ in ("1", "2", "health.arrears.1"):
        shown = run("wang@health", "show", id_, "--output", "json")
        assert (shown["request"], shown["until"]) == (2, "2027-06-30")
        assert [(e["request"], e["act"]) for e in shown["history"]] == [
            (1, "request"), (1, "approve"), (2, "renew"), (2, "approve"),
        ]  # fmt: skip


def test_ids_are_completed(run: Command) -> None:
    run("wang@health", "request", "--subject", "tax.income", "--fields", "year", *WHY)
    context, number = click.Context(grant), click.Argument(["number"])
    assert [item.value for item in grant_desk.complete_request(context, number, "")] == ["1"]
    assert [item.value for item in grant_desk.complete_request(context, number, "2")] == []
    assert [item.value for item in grant_desk.complete_grant(context, number, "g")] == ["g1"]


def test_lists_are_filtered(run: Command) -> None:
    run("wang@health", "request", "--subject", "tax.income", "--subject", "tax.arrears", "--fields", "year", *WHY)

    def ids(*options: str) -> list[str]:
        return [one["grant"] for one in run("wang@health", "list", "--output", "json", *options)]

    assert ids() == ["health.income.1", "health.arrears.2", "g1"]
    assert ids("--state", "in-force") == ["g1"]
    assert ids("--state", "requested", "--subject", "tax.arrears") == ["health.arrears.2"]
    assert ids("--ends-within", "10") == []
    assert ids("--ends-within", "300") == ["g1"]
    assert "g1" in run("wang@health", "list")


def test_who_acts_is_said(run: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="for which department"):
        run("wang@", "request", "--subject", "tax.income", "--fields", "year", *WHY)
    monkeypatch.setenv("USER", "boss")
    monkeypatch.setenv("LOGNAME", "boss")
    run("@health", "request", "--subject", "tax.income", "--fields", "year", *WHY)
    [event] = run("wang@health", "show", "1", "--output", "json")["history"]
    assert event["person"] not in ("", "boss")


def test_who_asks_for_a_closed_subject_is_refused_and_on_record(run: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    ask = ("request", "--subject", "tax.secret", "--fields", "all")
    monkeypatch.setenv("EXCHANGE_OPERATOR", "wang")
    result = CliRunner().invoke(grant, [*ask, "--subject", "tax.arrears", *WHY, "--department", "health"])
    assert isinstance(result.exception, RequestMistakesError)
    assert "'tax.secret' is closed" in str(result.exception)
    assert "Request 1 for tax.secret is rejected, and stays on record" in result.stderr
    with pytest.raises(RequestMistakesError):  # no purpose: no request
        run("wang@health", *ask, "--until", "2026-12-31")
    [refused] = run("auditor@bureau", "list", "--output", "json", "--subject", "tax.secret")
    assert (refused["request"], refused["reader"], refused["state"]) == (1, "health", "rejected")
    assert run("auditor@bureau", "list", "--output", "json", "--reader", "health") == [refused]
    shown = run("auditor@bureau", "show", "1", "--output", "json")
    assert shown["content"]["purpose"]["text"] == "To see."
    assert [(e["act"], e["person"], e["department"], e["reason"]) for e in shown["history"]] == [
        ("request", "wang", "health", "rejected at once: the subject is closed")
    ]
    with pytest.raises(WrongStateError):
        run("li@bureau", "approve", "1")
    told = run("wang@health", "request", "--subject", "tax.arrears", "--fields", "all", *WHY)
    assert "Request 2" in told
    assert "2 events, unchanged" in run("auditor@bureau", "verify")


def test_a_request_is_taken_back_by_who_asked(run: Command) -> None:
    ask = ("request", "--subject", "tax.income", "--fields", "year", *WHY)
    run("wang@health", *ask)
    with pytest.raises(WrongActorError, match="only health may withdraw"):
        run("li@bureau", "withdraw", "1")
    run("li@bureau", "review", "1")
    assert "withdrawn" in run("wang@health", "withdraw", "1", "--reason", "Asked for too much.")
    shown = run("wang@health", "show", "1", "--output", "json")
    assert (shown["state"], shown["overdue"]) == ("withdrawn", None)
    assert [(e["act"], e["reason"]) for e in shown["history"]][2:] == [("withdraw", "Asked for too much.")]
    for actor, *command in (("zhao@tax", "answer", "1", "--agree"), ("wang@health", "withdraw", "1")):
        with pytest.raises(WrongStateError, match="request 1 is withdrawn"):
            run(actor, *command)
    run("wang@health", *ask)


def test_a_new_database_gives_no_id_that_the_contract_has(run: Command, file: Path) -> None:
    """As after a change from SQLite to PostgreSQL: numbers begin again at 1."""
    edit(file, lambda data: data.replace(b"id: g1", b"id: health.arrears.1"))
    told = run("wang@health", "request", "--subject", "tax.arrears", "--fields", "year", *WHY)
    assert "as a grant it would be health.arrears.1-2." in told
    run("li@bureau", "approve", "1")
    assert "id: health.arrears.1-2" in file.read_text()


def test_a_person_without_an_account_has_to_be_named(run: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container whose user id stands in no list of users."""

    def unknown(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr(desk.pwd, "getpwuid", unknown)
    with pytest.raises(ConfigError, match="EXCHANGE_OPERATOR"):
        run("@health", "request", "--subject", "tax.income", "--fields", "year", *WHY)


def test_a_request_for_a_subject_that_is_gone_can_be_rejected(run: Command, file: Path) -> None:
    run("wang@health", "request", "--subject", "tax.arrears", "--fields", "year", *WHY)
    edit(file, lambda data: data.replace(SUBJECTS[: SUBJECTS.index("  - name: secret")].encode(), b""))
    with pytest.raises(ContractError, match=r"tax\.arrears"):
        run("li@bureau", "approve", "1")
    run("li@bureau", "reject", "1", "--reason", "The subject is not published any more.")
    assert run("wang@health", "show", "1", "--output", "json")["state"] == "rejected"


def test_unknown_ids(run: Command) -> None:
    far = "9" * 30
    for arguments in (
        ("show", "7"),
        ("show", "nothing"),
        ("show", "²"),
        ("show", far),
        ("review", "7"),
        ("review", far),
    ):
        with pytest.raises(ConfigError, match="there is no request"):
            run("li@bureau", *arguments)


def test_help_of_the_group_imports_no_command() -> None:
    code = (
        "import sys; from exchange.cli.grant import grant\n"
        "grant(['--help'], standalone_mode=False)\n"
        "sys.exit(str({'kafka', 'numba', 'sqlalchemy', 'pydantic', 'rich'} & set(sys.modules) or ''))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert answer.stderr.strip() == ""
