"""Named parameters of a query that a person writes: outside of quotes and comments, and nothing else with a colon."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from exchange.connect.database import DatabaseConfigError
from exchange.connect.query import with_parameters


def names(query: str) -> set[str]:
    return set(with_parameters(query).compile().params)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("SELECT a FROM t WHERE b = :party_id AND c BETWEEN :from AND :until;", {"party_id", "from", "until"}),
        ("SELECT :limit::numeric, x::int, a[1:2], b[c:d]", {"limit"}),
        ("SELECT ':a', \":b\", E'it\\'s :c', $$ :d $$, $t$ :e $t$ -- :f\n /* :g /* :h */ */", set()),
        ("SELECT '10:30', 'a'::text, :_x", {"_x"}),
        ("SELECT (:a),:b", {"a", "b"}),
    ],
)
def test_parameters_are_found(query: str, found: set[str]) -> None:
    assert names(query) == found


@given(st.text(st.sampled_from("ab:_ '\"-/*\\;\n1号"), max_size=20))
def test_a_text_in_quotes_comes_as_it_is(text: str) -> None:
    quoted = "'" + text.replace("'", "''") + "'"
    statement = with_parameters(f"SELECT {quoted} AS said, :n + 1 AS n -- :not").bindparams(n=1)
    with sa.create_engine("sqlite://").connect() as connection:
        assert connection.execute(statement).one() == (text, 2)


def test_a_place_that_nobody_fills_and_a_second_statement_are_refused() -> None:
    for query in ("SELECT $1", "SELECT 1; DELETE FROM t", " -- nothing"):
        with pytest.raises(DatabaseConfigError):
            with_parameters(query)
