"""A daemon stops on a signal, and shows its health until then."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request

import pytest

# The smallest daemon there can be: it waits for the signal.
_DAEMON = """
from exchange.cli.daemon import daemon
from exchange.settings import Settings
with daemon(Settings(), 0) as stop:
    assert stop.wait(30)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(number: signal.Signals) -> None:
    process = subprocess.Popen([sys.executable, "-c", _DAEMON], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    started = json.loads(process.stderr.readline())
    assert started["message"] == "started"
    with urllib.request.urlopen(f"http://{started['address']}/healthz", timeout=5) as answer:
        assert answer.status == 200
    process.send_signal(number)
    _, rest = process.communicate(timeout=10)
    assert process.returncode == 0
    assert [json.loads(line)["message"] for line in rest.splitlines()] == ["stopped"]
