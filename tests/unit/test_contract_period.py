"""The grant whose records a reader gets: of several, one after the other, the one of that day."""

from __future__ import annotations

from datetime import UTC, date, datetime

from exchange.contract.model import Contract
from exchange.contract.period import delivering

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
