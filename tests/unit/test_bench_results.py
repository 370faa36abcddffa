"""Tables of the benchmark are medians and ratios of the runs in its file."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.bench import city, results, table
from tests.bench.results import Run


def run(workload: str, candidate: str, rate: float, turn: int = 1) -> Run:
    return Run(workload, 200, 256, "none", 3, candidate, rate, 2.5, turn)


def test_a_run_has_the_promised_fields() -> None:
    line = run("W1", "streams", 100_000).as_json()
    wanted = ("workload", "record_bytes", "batch_kb", "codec", "readers", "candidate", "records_per_s")
    assert all(f'"{name}"' in line for name in (*wanted, "cpu_s_per_million", "round"))
    assert "p99_ms" not in line
    assert "subjects" not in line


def test_runs_survive_the_file(tmp_path: Path) -> None:
    runs = [run("W3", "router", 1), Run("latency", 200, 256, "none", 1, "router", 10_000, 9, 1, 1, 20.5, 71.0)]
    path = tmp_path / "bench.json"
    path.write_text("".join(one.as_json() + "\n" for one in runs))
    assert results.read(path) == runs


def test_ratios_are_of_medians() -> None:
    runs = [run("W3", "router", rate, turn) for turn, rate in enumerate((300, 290, 9_000), 1)]
    runs += [run("W3", "streams", rate, turn) for turn, rate in enumerate((100, 1, 110), 1)]
    [verdict] = results.verdicts(results.rows(runs))
    assert verdict.got == pytest.approx(3.0)
    assert "| W3, 200 B, 256 KB | router ÷ Kafka Streams | 2.50 | 3.00 | yes |" in table.document(runs)


def test_what_memory_costs_is_a_target_of_its_own() -> None:
    runs = [run("W4", "router", 700_000), run("W4", "router-no-key", 1_000_000), run("W4", "streams", 350_000)]
    document = table.document(runs)
    assert "| W4, 200 B, 256 KB | router ÷ router without key | 0.80 | 0.70 | no |" in document
    assert "| W4, 200 B, 256 KB | Kafka Streams | 350,000 | 2.50 | 2.00 × |  | 1 |" in document


def test_holdings_have_a_line_for_each_number_of_rows_and_readers() -> None:
    known = {"rows": 1_000_000, "restart_s": 1.94, "row_bytes": 35.31, "memory_mb": 326}
    runs = [Run("holdings", 200, 256, "none", 6, "router", 500_000, 2.5, 1, **known)]
    assert "| 1,000,000 | 6 | 1.9 | 35.3 | 326 |" in table.document(runs)


def captured(candidate: str, cpu: float, turn: int = 1) -> Run:
    costs = {"server_cpu_s_per_million": 1.84, "memory_mb": 231, "transaction_rows": 100}
    return Run("C0", 150, 256, "none", 1, candidate, 20_000, cpu, turn, **costs)


def test_a_capture_is_compared_by_its_processor_time() -> None:
    runs = [captured("connector", cpu, turn) for turn, cpu in enumerate((30, 24, 90), 1)]
    runs += [captured("debezium", 60)]
    document = table.document(runs)
    assert "| 100 | connector, `cdc: postgresql` | 30.0 | 0.50 | 20,000 | 1.8 | 231 | 3 |" in document
    assert "| 100 | Debezium on Kafka Connect | 60.0 |  | 20,000 | 1.8 | 231 | 1 |" in document


def test_a_sink_is_compared_with_debeziums_and_says_when_its_first_row_came() -> None:
    costs = {"server_cpu_s_per_million": 7.0, "memory_mb": 250, "rows": 1_000_000}
    runs = [
        Run("C2", 146, 256, "none", 1, "connector", 90_000, 2, 1, first_row_s=1.9, runs_s=1.3, **costs),
        Run("C2", 146, 256, "none", 1, "debezium", 9_000, 40, 1, first_row_s=9.0, runs_s=7.5, **costs),
        Run("C2", 146, 256, "none", 1, "limit", 90_000, 0.2, 1, first_row_s=0.1, **costs | {"memory_mb": None}),
    ]
    document = table.document(runs)
    assert "| connector | 2.0 | 0.05 | 90,000 | 7.0 | 250 | 1.9 | 0.6 | 1 |" in document
    assert "| Debezium's JDBC sink on Kafka Connect | 40.0 |  | 9,000 | 7.0 | 250 | 9.0 | 1.5 | 1 |" in document
    assert ", 5,000 rows a transaction | 0.2 | 0.01 | 90,000 | 7.0 |  | 0.1 |  | 1 |" in document


def test_from_table_to_table_each_process_has_a_line() -> None:
    costs = {"server_cpu_s_per_million": 9.0, "memory_mb": 500, "rows": 1_000_000}
    parts = [{"router": [1.0 + turn, 250], "sink": [4.0, 240 + turn]} for turn in range(3)]
    runs = [
        Run("C3", 150, 256, "none", 1, "exchange", 70_000, 6, turn, processes=of, **costs)
        for turn, of in enumerate(parts, 1)
    ]
    runs.append(Run("C3", 150, 256, "none", 1, "debezium", 9_000, 60, 1, processes={"worker": [60, 900]}, **costs))
    document = table.document(runs)
    assert "| source, router, ledger, sink | 6.0 | 0.10 | 70,000 | 9.0 | 500 | 3 |" in document
    assert "| … router | 2.00 |  |  |  | 250 |  |\n| … sink | 4.00 |  |  |  | 241 |  |" in document
    assert "… worker" not in document


def test_a_city_has_a_line_for_each_kind_of_process() -> None:
    costs = {"server_cpu_s_per_million": 1.5, "memory_mb": 4300, "rows": 2_000_000}
    runs = [Run("city", 150, 256, "none", 16, "city", 60_000, 20, 1, processes={"router": [3.0, 500]}, **costs)]
    document = table.document(runs)
    assert "| all 16, 2,000,000 rows | 60,000 | 20.0 | 1.5 | 4,300 | 1 |\n| … router |  | 3.0 |  | 500 |  |" in document


def test_processes_of_one_kind_are_added_up() -> None:
    used = {"router-1": (1.0, 200.0), "router-2": (2.0, 210.0), "ledger": (0.5, 90.0)}
    assert city.by_kind(used) == {"router": (3.0, 410.0), "ledger": (0.5, 90.0)}


def test_a_row_that_is_gone_too_late_misses_its_target() -> None:
    runs = [
        Run("gone", 150, 256, "none", 1, way, 8, 0, 1, p50_ms=90.4, p99_ms=510, rows=300)
        for way in ("polled", "logged")
    ]
    document = table.document(runs)
    assert "| is polled, `poll_s: 1` | 300 | 90 | 510 | 2,000 | yes |" in document
    assert "| is followed, `cdc: postgresql` | 300 | 90 | 510 | 500 | no |" in document


def test_the_ledgers_cost_is_a_share_of_the_throughput() -> None:
    runs = [run("W0", "router", 75), run("W0", "router-no-ledger", 100)]
    assert [share for _, share in results.ledger_costs(results.rows(runs))] == [0.25]


def test_nothing_measured_gives_no_table() -> None:
    assert table.document([]) == ""


def test_a_page_gets_its_tables_between_its_marks(tmp_path: Path) -> None:
    runs, page = tmp_path / "bench.json", tmp_path / "page.md"
    runs.write_text(run("W0", "router", 600_000).as_json() + "\n")
    page.write_text("# Page\n\n<!-- bench: begin -->\nold\n<!-- bench: end -->\nrest\n")
    CliRunner().invoke(table.main, [str(runs), "--into", str(page)], catch_exceptions=False)
    text = page.read_text()
    assert "| W0, 200 B, 256 KB | router | 600,000 |" in text
    assert text.startswith("# Page\n")
    assert text.endswith("<!-- bench: end -->\nrest\n")
    assert "old" not in text


def test_a_page_without_marks_is_refused(tmp_path: Path) -> None:
    runs, page = tmp_path / "bench.json", tmp_path / "page.md"
    runs.write_text("")
    page.write_text("# Page\n")
    result = CliRunner().invoke(table.main, [str(runs), "--into", str(page)])
    assert result.exit_code != 0
    assert "has no bench marks" in result.output
