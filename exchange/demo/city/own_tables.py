"""Tables that departments keep to themselves: nobody is granted them, but questions of cases are answered from them.

Each row is about one party, a person or an organisation, by its number `party_id`. Money is in fen. A `month` is the
first day of the month.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

_WHOLE = {
    "fen", "base", "floor", "share", "shares", "area", "apart_years", "year",
    "adapted", "full_time", "institution", "used",
}  # fmt: skip
_DAYS = {"month", "since", "day", "from_day", "until_day", "valid_until"}

KNOWN = "known_party"
"""The table of each of these departments with the numbers and names that it knows, of which day that is, and a remark
that is nobody else's business."""

_COLUMNS: Mapping[str, Mapping[str, str]] = {
    "police": {
        "civil_status": "party_id state marriage",
        "residence": "party_id kind",  # hukou or permit
        "identity_document": "party_id valid_until",
        "driving_licence": "party_id valid_until",
        "outsider": "party_id origin",  # who is not from the mainland
        "stay": "party_id month",  # a month in which an outsider was here
        "owned_car": "party_id adapted status",  # registered, cancelled, scrapped or stolen
    },
    "tax": {
        "wage": "party_id month fen",
        "yearly_return": "party_id year fen",
        "employment": "party_id since",
        "tax_paid": "party_id month fen",
    },
    "social-security": {
        "insured_base": "party_id month base floor",
        "insured_month": "party_id city month",
        "insured_time": "party_id city from_day until_day",
        "pension_month": "party_id month fen",
        "talent_card": "party_id valid_until",
    },
    "housing-fund": {"fund_payment": "party_id month"},
    "planning": {"certificate": "certificate unit party_id share shares area use"},
    "market": {"shareholder": "party_id company", "organisation": "party_id status institution"},
    "health": {"death_certificate": "party_id", "treatment": "party_id month fen"},
    "disabled": {"card_holder": "party_id status"},
    "banking": {"deposit": "party_id fen"},
    "securities": {"security": "party_id fen"},
    "justice": {"prisoner": "party_id"},
    "court": {"judgment": "party_id kind"},
    "veterans": {
        "conscript": "party_id",
        "soldier": "party_id",  # who serves in this city
        "service_pension": "party_id month fen",  # the part of a pension that is paid for service
    },
    "religion": {"clergy": "party_id apart_years"},
    "education": {"student": "party_id full_time", "school_fee": "party_id month fen"},
    "transport-agency": {
        "quota": "party_id status",  # held, used or returned
        "replacement": "party_id",  # who may replace a car
        "lottery_win": "party_id day used",
    },
    "development-reform": {"large_investment": "party_id day"},
}


def _table(name: str, columns: str) -> sa.Table:
    kinds: dict[str, sa.types.TypeEngine[Any]] = dict.fromkeys(_WHOLE, sa.BigInteger())
    kinds |= dict.fromkeys(_DAYS, sa.Date())
    made = [sa.Column(each, kinds.get(each, sa.Text())) for each in columns.split()]
    return sa.Table(name, sa.MetaData(), *made, sa.Index(f"{name}_party", "party_id"))


OWN_TABLES: Mapping[str, Mapping[str, sa.Table]] = {
    department: {name: _table(name, columns) for name, columns in {KNOWN: "party_id name day remark", **tables}.items()}
    for department, tables in _COLUMNS.items()
}
"""Department → the name of a table → the table."""
HOME: Mapping[str, str] = {name: department for department, tables in _COLUMNS.items() for name in tables}
"""Table → the department that keeps it."""
