"""`exchange case`: questions of cases across departments; each command is imported when it is used."""

from __future__ import annotations

import click

from exchange.cli.main import LazyGroup

# name → (module:attribute, help for the list of commands)
_COMMANDS = {
    "answer": ("exchange.cli.case_queue:answer", "As the department that is asked, answer a question of the queue."),
    "queue": ("exchange.cli.case_queue:queue", "List the questions that wait for a person of the department."),
}


@click.group(cls=LazyGroup, lazy=_COMMANDS)
def case() -> None:
    """Questions that departments ask each other about the parties of a case, and their answers."""
