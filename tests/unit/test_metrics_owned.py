"""A daemon shows the metrics that it has set, and no 0 for what it does not know."""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from collections.abc import Collection, Iterator
from threading import Event
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from exchange import metrics, metrics_server, names
from exchange.cli.daemon import daemon
from exchange.connect.sink_worker import SinkWorker
from exchange.connect.worker import SourceWorker
from exchange.ledger.follower import Follower
from exchange.names import Partition, subject_topic
from exchange.router import report
from exchange.router.gather import Gathered
from exchange.router.held import HeldRows
from exchange.router.holdings import Holdings
from exchange.settings import Settings
from tests.rigs.routing import batch, epoch, grant, route, value

nothing: Any = None  # stands for what is not to be used


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    """What other tests of this process have counted is not of interest here."""
    labelled = [one for one in vars(metrics).values() if isinstance(one, MetricWrapperBase) and one._labelnames]
    for metric in labelled:
        metric.clear()
    yield
    for metric in labelled:
        metric.clear()


def value_of(name: str, **labels: str) -> float | None:
    return metrics.REGISTRY.get_sample_value(f"exchange_{name}", labels)


def records(outcome: str, reader: str = "") -> float | None:
    return value_of("records_total", subject="office.income", outcome=outcome, reader=reader)


def bytes_(reader: str) -> float:
    return value_of("bytes_total", subject="office.income", outcome="delivered", reader=reader) or 0


def test_a_daemon_that_has_set_nothing_shows_nothing_of_the_exchange() -> None:
    """In a process of its own, where nothing was ever set."""
    program = (
        "from exchange.metrics import REGISTRY\n"
        "for metric in REGISTRY.collect():\n"
        "    for sample in metric.samples:\n"
        "        print(sample.name)"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert [name for name in shown if not name.startswith("exchange_process_")] == []
    assert "exchange_process_start_time_seconds" in shown


def test_a_gauge_without_labels_is_shown_from_its_first_value_on() -> None:
    registry = CollectorRegistry()
    gauge = metrics.OwnGauge("number", "A number.", registry=registry)
    assert registry.get_sample_value("number") is None
    gauge.set(0)
    assert registry.get_sample_value("number") == 0


def test_every_metric_without_labels_waits_for_its_value() -> None:
    """Of the library's own, each would be exported as 0 by every daemon."""
    wrong = [
        metric._name
        for metric in vars(metrics).values()
        if isinstance(metric, MetricWrapperBase) and not metric._labelnames and not isinstance(metric, metrics.OwnGauge)
    ]
    assert wrong == [], "make it an OwnGauge, or give it a label"


def test_who_received_how_much_is_counted_by_reader() -> None:
    """A view that two departments share counts for each; what is withheld from one, for that one."""
    granted = epoch(grant("tax"), grant("court"), grant("bank", where={"district": {"prefix": "none"}}))
    report.adopted(granted)
    born = {reader: records("delivered", reader) for reader in ("tax", "court", "bank")}
    assert born == {"tax": 0, "court": 0, "bank": 0}, "from 0 on: of a counter born later, Prometheus sees no increase"
    assert (records("read"), records("quarantined"), records("withheld", "bank")) == (0, 0, 0)

    routed = route(granted, [batch([(1, b"440101", value(), []), (2, b"440101", value(), [])])])
    readers = {one.id: one.reader for one in granted.contract.grants}
    report.committed([routed.step], Gathered(), readers, 0.0)
    assert (records("read"), records("delivered", "tax"), records("delivered", "court")) == (2, 2, 2)
    assert (records("delivered", "bank"), records("withheld", "bank"), records("withheld", "tax")) == (0, 2, 0)
    assert bytes_("tax") == bytes_("court") > 0 == bytes_("bank")


def test_what_a_reader_lost_is_counted() -> None:
    granted = epoch(grant("tax"), grant("bank", where={"cents": {"ge": 0}}), key=("id", "year"))
    report.adopted(granted)
    assert (records("withdrawn", "tax"), records("withdrawn", "bank")) == (0, 0)
    changes = [(1, b"440101", value(), []), (2, b"440101", value(cents=-1), []), (3, b"440101", None, [])]
    routed = route(granted, [batch(changes)], held=HeldRows(b"id"))
    readers = {one.id: one.reader for one in granted.contract.grants}
    report.committed([routed.step], Gathered(), readers, 0.0)
    outcomes = ("delivered", "withheld", "withdrawn")
    assert [records(outcome, "tax") for outcome in outcomes] == [2, 0, 1]
    assert [records(outcome, "bank") for outcome in outcomes] == [1, 1, 1]
    assert bytes_("tax") > bytes_("bank") > 0


def _sink_worker() -> SinkWorker:
    return SinkWorker(nothing, nothing, "bank", "tax.arrears", Event(), has_changed=lambda: False, patient=True)


def test_a_sink_shows_no_lag_before_it_knows_one() -> None:
    sink = _sink_worker()
    inbox = {"department": "bank", "subject": "tax.arrears"}

    def shown() -> tuple[float | None, float | None]:
        return value_of("sink_lag_records", **inbox), value_of("sink_lag_seconds", **inbox)

    sink.show_lag(None, 100.0)
    assert shown() == (None, None)
    sink.show_lag(5, 100.0)
    assert shown() == (5, 0)
    sink.show_lag(3, 160.0)
    sink.show_lag(None, 170.0)
    assert shown() == (3, 60)
    sink.show_lag(0, 180.0)
    assert shown() == (0, 0)


def test_what_a_connector_counts_is_there_from_its_start() -> None:
    _sink_worker()
    SourceWorker(nothing, nothing, "tax", "tax.arrears", 1.0, Event(), has_changed=lambda: False, patient=True)
    for department, outcomes in {
        "tax": ("read", "published", "rejected"),
        "bank": ("applied", "withdrawn", "rejected"),
    }.items():
        for outcome in outcomes:
            labels = {"department": department, "subject": "tax.arrears", "outcome": outcome}
            assert value_of("connector_rows_total", **labels) == 0


def test_the_codes_of_passing_faults_are_there_from_the_start() -> None:
    with daemon(Settings(), 0):
        assert value_of("transaction_failures_total", code="bus-unavailable") == 0
        assert value_of("transaction_failures_total", code="config") is None


def test_what_fails_is_shown_part_by_part() -> None:
    parts = {metrics.Part("source", "tax.arrears"): True, metrics.Part("sink", "tax.arrears"): False}
    server = metrics_server.serve("127.0.0.1", 0, lambda: metrics.Health(False, {}, parts))
    try:
        with urllib.request.urlopen(f"http://{server.address}/metrics", timeout=5) as answer:
            page = answer.read().decode()
    finally:
        server.close()
    assert 'exchange_failing{part="source",subject="tax.arrears"} 1.0' in page
    assert 'exchange_failing{part="sink",subject="tax.arrears"} 0.0' in page


def test_a_follower_that_waits_for_its_broker_is_no_younger_than_before() -> None:
    """Nothing came in, but records are left: 0 seconds would say that all is taken in."""
    follower = Follower(None, None, clock=lambda: 1_000.0)  # type: ignore[arg-type]
    place = (names.LEDGER_TOPIC, 0)
    follower._next = {place: 5}

    class Consumer:
        end = 9

        def positions(self) -> dict[tuple[str, int], tuple[int, int]]:
            return {place: (5, self.end)}

    consumer: Any = Consumer()
    follower._report_lag(consumer, 400_000)
    assert value_of("ledger_follower_lag_seconds") == 600
    follower._report_lag(consumer, 0)
    assert value_of("ledger_follower_lag_seconds") == 600
    consumer.end = 5
    follower._report_lag(consumer, 0)
    assert (value_of("ledger_follower_lag_seconds"), value_of("ledger_follower_lag_records")) == (0, 0)


class _Read(Holdings):
    """Holdings whose partitions nobody has written to."""

    def _load(self, places: Collection[Partition]) -> None:
        self._held |= {place: HeldRows(self._key_id) for place in places}


def test_a_router_shows_no_rows_of_a_subject_that_it_gave_up() -> None:
    holdings, (tax, car) = _Read(nothing, b"id"), (("tax.arrears", 0), ("police.car", 1))
    names_of = [(subject_topic(subject), partition) for subject, partition in (tax, car)]
    holdings.of(names_of)
    holdings.show()
    assert [value_of("router_held_rows", subject=subject) for subject, _ in (tax, car)] == [0, 0]
    holdings.drop(names_of[:1])
    holdings.show()
    for name in ("router_held_rows", "router_held_bytes"):
        assert value_of(name, subject="tax.arrears") is None
        assert value_of(name, subject="police.car") is not None
