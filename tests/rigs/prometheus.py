"""Prometheus' own programs, to judge rules and dashboards with."""

from __future__ import annotations

import json
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.rigs.brokers import free_port
from tests.rigs.programs import program


def as_series(text: str, job: str, instance: str) -> dict[str, float]:
    """A scraped page as Prometheus keeps it: values by series."""
    target = {"job": job, "instance": instance}
    return {
        _series(sample.name, target | sample.labels): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    } | {_series("up", target): 1.0}


def _series(name: str, labels: Mapping[str, str]) -> str:
    return f"{name}{{{','.join(f'{key}={json.dumps(value)}' for key, value in labels.items() if value)}}}"


def judge(
    rules: Path, series: Mapping[str, str], firing: Sequence[Mapping[str, str]], folder: Path, minutes: tuple[int, int]
) -> str:
    """What `promtool test rules` has to say if just these alerts fire between the minutes; nothing if they do.

    `series`: values from minute 0 on, in promtool's words. `firing`: the labels of each alert.
    """
    first, last = minutes
    expr = f'last_over_time(ALERTS{{alertstate="firing"}}[{last - first}m])'
    due = [{"labels": _series("ALERTS", {"alertstate": "firing", **labels}), "value": 1} for labels in firing]
    case = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [{"expr": expr, "eval_time": f"{last}m", "exp_samples": due}],
    }
    file = folder / "rules_test.yml"
    file.write_text(json.dumps({"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": [case]}))
    command = [program("promtool"), "test", "rules", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


@dataclass(frozen=True)
class Prometheus:
    """A server that runs."""

    url: str

    def query(self, expr: str) -> list[dict[str, Any]]:
        """What the expression gives now, series by series."""
        return self.get("query", query=expr)["result"]

    def get(self, page: str, **arguments: str) -> Any:
        """The data of a page of its API."""
        url = f"{self.url}/api/v1/{page}?{urllib.parse.urlencode(arguments)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.loads(answer.read())["data"]


@contextmanager
def running(folder: Path, targets: Mapping[str, Sequence[str]], rules: Path) -> Iterator[Prometheus]:
    """A Prometheus that scrapes the targets of each job every second, and has asked each of them at least once."""
    jobs = [{"job_name": job, "static_configs": [{"targets": list(of)}]} for job, of in targets.items()]
    every = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config = folder / "prometheus.yml"
    config.write_text(json.dumps({"global": every, "rule_files": [str(rules)], "scrape_configs": jobs}))
    address = f"127.0.0.1:{free_port()}"
    command = [
        program("prometheus"),
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen([*command, f"--web.listen-address={address}"], stdout=log, stderr=log)
        try:
            server = Prometheus(f"http://{address}")
            wanted = sum(len(of) for of in targets.values())
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                with suppress(OSError):
                    if len(server.query("count_over_time(up[1m]) > 2")) == wanted:
                        break
                assert process.poll() is None, (folder / "prometheus.log").read_text()
                time.sleep(0.2)
            else:
                pytest.fail(f"not scraped in time: {server.query('up')}")
            yield server
        finally:
            process.terminate()
            process.wait(30)


def empty_panels(prometheus: Prometheus, dashboards: Sequence[dict[str, Any]], chosen: Mapping[str, str]) -> list[str]:
    """Each expression of a panel that gives nothing, with the choices that a person made on the page."""
    found = []
    for dashboard in dashboards:
        for panel in dashboard["panels"]:
            for target in panel.get("targets", ()):
                expr = target["expr"].replace("$__rate_interval", "10s")
                for name, value in chosen.items():
                    expr = expr.replace(f"${name}", value)
                assert "$" not in expr, expr
                if not prometheus.query(expr):
                    found.append(f"{dashboard['title']}: {panel['title']}: {expr}")
    return found


@contextmanager
def served(text: str) -> Iterator[str]:
    """The address of a page of metrics, as the node exporter gives what is in its folder of text files."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 — the library names it
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
