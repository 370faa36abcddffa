"""`exchange case`: questions of cases across departments; each command is imported when it is used."""

from __future__ import annotations

import click

from exchange.cli.main import LazyGroup

# name → (module:attribute, help for the list of commands)
_COMMANDS = {
    "answer": ("exchange.cli.case_queue:answer", "As the department that is asked, answer a question of the queue."),
    "amend": ("exchange.cli.case_work:amend", "Make a case's finding, or make it anew, of the answers that are there."),
    "close": ("exchange.cli.case_work:close", "Close a case."),
    "decide": ("exchange.cli.case_work:decide", "Decide a case on its finding."),
    "open": ("exchange.cli.case_open:open_", "Open one case; standard input names its persons."),
    "import": ("exchange.cli.case_open:import_", "Open the cases of a CSV file."),
    "list": ("exchange.cli.case_list:list_", "List a department's cases: where each stands, whom it waits for."),
    "object": ("exchange.cli.case_work:object_", "Record an objection: what is contested is asked again."),
    "report": ("exchange.cli.case_report:report", "Write a case as a page for its parties, to print."),
    "show": ("exchange.cli.case_work:show", "Show a case: what happened, what was found, on which answers it rests."),
    "statistics": (
        "exchange.cli.case_list:statistics",
        "Count cases and persons: accepted, completed, and as what.",
    ),
    "verify": ("exchange.cli.case_work:verify", "Check every history, and make every finding again."),
    "schema": ("exchange.cli.case_work:schema", "Print the Avro schema of questions or of answers."),
    "queue": ("exchange.cli.case_queue:queue", "List the questions that wait for a person of the department."),
}


@click.group(cls=LazyGroup, lazy=_COMMANDS)
def case() -> None:
    """Cases: what a department asks others about the parties, and how the others answer."""
