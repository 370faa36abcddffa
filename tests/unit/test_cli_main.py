"""The command line finds its commands, stays quick, and turns errors into exit statuses."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from exchange.cli import main
from exchange.errors import CorruptionError


def test_help_lists_every_command_and_imports_none() -> None:
    code = (
        "import sys; from exchange.cli.main import exchange\n"
        "exchange(['--help'], standalone_mode=False)\n"
        "heavy = {'kafka', 'numba', 'numpy', 'sqlalchemy', 'pydantic', 'rich', 'fastavro'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert all(f"\n  {name} " in answer.stdout for name in [*main._COMMANDS, "completion"])


@pytest.mark.parametrize("name", sorted(main._COMMANDS))
def test_every_command_is_where_the_table_says(name: str) -> None:
    command = main.exchange.get_command(click.Context(main.exchange), name)
    assert command is not None
    assert CliRunner().invoke(command, ["--help"]).exit_code == 0


def test_an_error_becomes_message_remedy_and_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: object) -> None:
        raise CorruptionError("two entries differ", remedy="call a person")

    monkeypatch.setattr(main, "exchange", fail)
    with pytest.raises(SystemExit) as stopped:
        main.main()
    assert stopped.value.code == CorruptionError.exit_status
    assert capsys.readouterr().err == "error [corruption]: two entries differ\nremedy: call a person\n"


def test_a_broker_elsewhere_is_not_ours_to_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["exchange", "broker", "status"])
    monkeypatch.setenv("EXCHANGE_BOOTSTRAP_SERVERS", "kafka.example.org:9092")
    with pytest.raises(SystemExit) as stopped:
        main.main()
    assert stopped.value.code == 2
    assert "EXCHANGE_BOOTSTRAP_SERVERS" in capsys.readouterr().err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_printed(shell: str) -> None:
    answer = CliRunner().invoke(main.exchange, ["completion", shell])
    assert answer.exit_code == 0
    assert "_EXCHANGE_COMPLETE" in answer.output
