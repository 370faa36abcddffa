"""The PostgreSQL that other tests get is a real one, and each database is its test's own."""

from __future__ import annotations

from sqlalchemy import create_engine, inspect, text


def test_database_is_real_and_empty(postgres_database: str) -> None:
    engine = create_engine(postgres_database)
    with engine.begin() as connection:
        assert "PostgreSQL" in str(connection.scalar(text("SELECT version()")))
        assert inspect(connection).get_table_names() == []
    engine.dispose()
