"""The page of a case: each reason with its answers, what is missing, the decision; escaped, and for its owner only."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from contextlib import closing
from html import unescape
from pathlib import Path

import pytest

from exchange.cases import case_page_file
from exchange.cases.case_page_file import ReportFileError
from exchange.cases.events import Party
from exchange.cases.store import CaseUnknownError
from exchange.connect import extras
from exchange.connect.extras import MissingExtraError
from tests.rigs import cases
from tests.rigs.case_office import CASE_TYPE, CaseOffice
from tests.rigs.case_world import CLERK, DAY, NOW, PARTIES, STREET

TYPE = CASE_TYPE.replace("sums:", "contest_within: 5\nsums:").replace("asks: police,", "asks: police, optional: true,")
HOSTILE = Party(number=2, party_id="R2", name="<script>x</script>王", authorisation="A-2")


@pytest.fixture
def office(tmp_path: Path) -> Iterator[CaseOffice]:
    with closing(CaseOffice(tmp_path, case_type=TYPE)) as made:
        yield made


def found(office: CaseOffice) -> None:
    """A case with a finding: person 1 has wages and a car, whether person 2 has one is not said."""
    office.open(parties=(PARTIES[0], HOSTILE))
    office.engine.work(NOW)
    for party, reason in ((1, None), (2, "as\u202e asked")):
        office.answer(f"C1/wages/{party}/1", status="found", content={"total": "400.00"}, reason=reason)
    office.answer("C1/cars/1/1", status="found", content={"cars": 1}, data_as_of=None)
    office.engine.work(NOW + DAY)
    office.engine.work(NOW + 10 * DAY)


def page(office: CaseOffice, case_no: str = "C1") -> str:
    """The page's text, as somebody reads it."""
    out = office.folder / "page.html"
    assert office.run("report", case_no, "--out", str(out)).exception is None
    body = re.sub(r"<[^>]*>", " ", out.read_text("utf-8").partition("<body>")[2])
    return re.sub(r"\s+", " ", unescape(body))


def test_it_says_each_reason_with_the_answers_it_rests_on_and_what_is_missing(office: CaseOffice) -> None:
    found(office)
    text = page(office)
    assert "低保家庭经济状况核对 Household economic status" in text
    assert "incomplete , 2026-03-12 · spared 250.50 · total 800.00" in text
    assert (
        "1. They own a <car> & more. cars, 王一: police; 数据日期 data as of 未说明 not given, 查询日期 queried on "
        "2026-03-03 (C1/cars/1/1) 2. Their wages are 800.00. wages, 王一: tax; 数据日期 data as of 2026-03-01, "
        "查询日期 queried on 2026-03-03 (C1/wages/1/1)" in text
    )
    assert "police; 逾期未答复 no answer in time (C1/cars/2/1)" in text
    assert "2025-03-01 – 2026-02-28 查到 found total: 400.00" in text
    assert "尚未决定。Nothing is decided yet." in text
    assert "异议期限 Until: 2026-03-19" in text


def test_it_says_the_decision_and_from_when_it_can_be_contested(office: CaseOffice) -> None:
    found(office)
    office.acts.decide(office.store.case("C1"), STREET, "refused", ["They own a car."], NOW + 20 * DAY)
    text = page(office)
    assert "refused , 2026-03-22, street-office They own a car." in text
    assert "异议期限 Until: 2026-03-27" in text
    office.acts.amend(office.store.case("C1"), CLERK, "Made anew.", NOW + 21 * DAY)
    assert "The finding was amended after this decision." in page(office)
    office.acts.close(office.store.case("C1"), CLERK, "Told.", NOW + 30 * DAY)
    assert "there is nothing to contest: it was closed on 2026-04-01" in page(office)


def test_before_there_is_a_finding_it_says_whose_answers_are_to_come(office: CaseOffice) -> None:
    office.open()
    office.engine.work(NOW)
    text = page(office)
    assert "尚无核对结果。There is no finding yet." in text
    assert "待答复 awaited, 期限 due 2026-03-09" in text
    assert "there is nothing to contest." in text


def test_departments_have_their_titles_if_the_contract_is_at_hand(office: CaseOffice) -> None:
    found(office)
    cases.write_contract(office.folder)
    assert "cars, 王一: 测试 Test;" in page(office)


def test_a_type_without_days_to_contest_leaves_them_to_the_office(office: CaseOffice) -> None:
    found(office)
    (office.own / "cases" / "household.yaml").write_text(TYPE.replace("contest_within: 5\n", ""), "utf-8")
    assert "The office says until when." in page(office)


def test_what_others_wrote_is_escaped_and_shown(office: CaseOffice) -> None:
    found(office)
    page(office)
    html = (office.folder / "page.html").read_text("utf-8")
    assert "<script" not in html
    assert "\u202e" not in html
    assert "&lt;script&gt;x&lt;/script&gt;王" in html
    assert "as\\u202e asked" in html
    assert "They own a &lt;car&gt; &amp; more." in html
    assert "&amp;lt;" not in html, "escaped twice"


@pytest.mark.parametrize("suffix", ["html", "pdf"])
def test_only_its_owner_can_read_it_and_nothing_of_it_is_printed(office: CaseOffice, suffix: str) -> None:
    found(office)
    out = office.folder / f"page.{suffix}"
    said = office.run("report", "C1", "--out", str(out))
    assert said.output == f"{out} is written. It has personal data: only you can read it.\n"
    assert stat.S_IMODE(out.stat().st_mode) == 0o600


def test_a_pdf_has_the_text_in_a_font_that_has_it(office: CaseOffice) -> None:
    found(office)
    page(office)
    import weasyprint

    document = weasyprint.HTML(office.folder / "page.html").render()
    drawn = "".join(box.text for each in document.pages for box in each._page_box.descendants() if hasattr(box, "text"))
    assert "低保家庭经济状况核对" in drawn
    assert "They own a <car> & more." in re.sub(r"\s+", " ", drawn)
    assert "<4f4e>" in document.write_pdf(uncompressed_pdf=True).decode("latin-1").lower(), "no font has 低 (U+4F4E)"
    assert case_page_file.pdf((office.folder / "page.html").read_text("utf-8")).startswith(b"%PDF-")


def test_a_case_that_is_not_there_has_no_page(office: CaseOffice) -> None:
    out = office.folder / "page.html"
    assert isinstance(office.run("report", "C9", "--out", str(out)).exception, CaseUnknownError)
    assert not out.exists()


def test_a_file_that_cannot_be_written_is_named(office: CaseOffice) -> None:
    found(office)
    assert office.run("report", "C1", "--out", "page.txt").exit_code == 2
    missing = office.run("report", "C1", "--out", str(office.folder / "no" / "page.html")).exception
    assert isinstance(missing, ReportFileError)


@pytest.mark.parametrize(
    ("lacking", "error", "told"),
    [
        (ImportError(), MissingExtraError, r"pip install 'exchange\[report\]'"),
        (OSError("cannot load library 'libpango-1.0-0'"), ReportFileError, r"libpango.*\.html needs no more"),
    ],
)
def test_a_pdf_says_what_it_lacks_and_html_needs_none_of_it(
    office: CaseOffice, monkeypatch: pytest.MonkeyPatch, lacking: Exception, error: type[Exception], told: str
) -> None:
    def lacks(_: str) -> None:
        raise lacking

    found(office)
    monkeypatch.setattr(extras, "import_module", lacks)
    caught = office.run("report", "C1", "--out", str(office.folder / "page.pdf")).exception
    assert isinstance(caught, error)
    assert re.search(told, str(caught))
    assert "They own a <car>" in page(office)


def test_a_case_whose_type_is_gone_still_has_its_page(office: CaseOffice) -> None:
    found(office)
    (office.own / "cases" / "household.yaml").rename(office.own / "cases" / "other.yaml")
    assert "Their wages are 800.00." in page(office)
