"""The grant whose records a reader gets: of several, one after the other, the one of that day."""

from __future__ import annotations

from datetime import UTC, date, datetime

from exchange.contract.model import Contract
from exchange.contract.period import delivering, interruption, midnight

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
                "owner": "civil",
                "title": TITLE,
                "schema": "x.avsc",
                "entity": {"field": "id", "kind": "person"},
                "share": "open",
            }
        ],
        "grants": [
            {
                "id": f"g{year}",
                "subject": "civil.income",
                "reader": "tax",
                "purpose": {"code": "p", "basis": "b", "text": "t"},
                "fields": ["id"],
                "from": date(year, 1, 1),
                "until": date(year, 12, 31),
            }
            for year in (2027, 2025, 2026)
        ],
    }
)


def test_a_reader_gets_records_by_the_last_grant_that_has_begun() -> None:
    def at(year: int, month: int, day: int) -> str | None:
        grant = delivering(CONTRACT, "civil.income", "tax", datetime(year, month, day, tzinfo=UTC))
        return grant and grant.id

    assert [at(2024, 6, 1), at(2025, 6, 1), at(2026, 6, 1), at(2030, 1, 1)] == ["g2025", "g2025", "g2026", "g2027"]
    assert delivering(CONTRACT, "civil.income", "civil", datetime(2025, 1, 1, tzinfo=UTC)) is None


def test_it_is_known_when_a_reader_last_ceased_to_be_given_a_subject() -> None:
    def ceased(*contracts: tuple[Contract, datetime], now: datetime) -> datetime | None:
        found = interruption(contracts, "civil.income", "tax", now)
        return found.moment if found else None

    without = CONTRACT.model_copy(update={"grants": ()})
    years = {year: datetime(year, 6, 1, tzinfo=UTC) for year in range(2024, 2031)}
    late = CONTRACT.model_copy(update={"grants": (CONTRACT.grants[0], CONTRACT.grants[1])})  # 2027 and 2025
    assert ceased((CONTRACT, years[2024]), now=years[2026]) is None
    assert ceased((CONTRACT, years[2025]), now=years[2027]) is None
    assert ceased((CONTRACT, years[2025]), now=years[2030]) == midnight(date(2028, 1, 1))
    assert ceased((late, years[2025]), now=years[2027]) == midnight(date(2026, 1, 1))
    assert (
        ceased((CONTRACT, years[2025]), (without, years[2026]), (CONTRACT, years[2027]), now=years[2027]) == years[2026]
    )
    assert ceased((without, years[2025]), (CONTRACT, years[2026]), now=years[2027]) is None
    assert interruption([(CONTRACT, years[2025])], "civil.income", "civil", years[2030]) is None


def test_what_the_grant_that_ended_said_last_decides_over_a_deletion() -> None:
    first = next(grant for grant in CONTRACT.grants if grant.id == "g2025")

    def saying(after: str, grant_id: str = "g2025") -> Contract:
        return CONTRACT.model_copy(update={"grants": (first.model_copy(update={"id": grant_id, "after": after}),)})

    def deletes(*contracts: Contract) -> bool:
        moments = [datetime(2025, month, 1, tzinfo=UTC) for month in range(6, 6 + len(contracts))]
        spans, now = zip(contracts, moments, strict=True), datetime(2026, 6, 1, tzinfo=UTC)
        found = interruption(spans, "civil.income", "tax", now)
        assert found is not None
        return found.deletes

    without = CONTRACT.model_copy(update={"grants": ()})
    assert not deletes(saying("keep"))
    assert deletes(saying("delete"))
    assert deletes(saying("keep"), saying("delete"), without)
    assert deletes(saying("keep"), saying("delete", "other"), without)
    again = saying("keep").grants[0].model_copy(update={"until": date(2030, 1, 1)})
    assert deletes(saying("delete"), without, CONTRACT.model_copy(update={"grants": (again,)}))


def test_of_grants_that_followed_each_other_the_last_one_ended() -> None:
    first, second = (grant for year in (2025, 2026) for grant in CONTRACT.grants if grant.id == f"g{year}")
    spans = [
        (CONTRACT.model_copy(update={"grants": grants}), datetime(2026, month, 1, tzinfo=UTC))
        for month, grants in enumerate([(first.model_copy(update={"until": second.until}),), (second,), ()], start=3)
    ]
    found = interruption(spans, "civil.income", "tax", datetime(2026, 7, 1, tzinfo=UTC))
    assert found is not None
    assert (found.moment, found.grant.id) == (datetime(2026, 5, 1, tzinfo=UTC), "g2026")
