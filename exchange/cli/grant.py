"""`exchange grant`: the life of a grant, from a request to its end; each command is imported when it is used."""

from __future__ import annotations

import click

from exchange.cli.main import LazyGroup

# name → (module:attribute, help for the list of commands)
_COMMANDS = {
    "answer": ("exchange.cli.grant_decide:answer", "As the owner of the subject, agree to a request or refuse it."),
    "approve": ("exchange.cli.grant_decide:approve", "As the data authority, write the grant into the contract."),
    "explain": ("exchange.cli.grant_explain:explain", "Say for one record and one reader: delivered or not, and why."),
    "list": ("exchange.cli.grant_list:list_", "Requests and grants: where they stand, what is overdue, what ends."),
    "notify": ("exchange.cli.grant_notify:notify", "Give notice of grants that end soon; measure requests that wait."),
    "quota": ("exchange.cli.grant_quota:quota", "What grants with a quota have delivered today, and what remains."),
    "reject": ("exchange.cli.grant_decide:reject", "As the data authority, refuse a request."),
    "renew": ("exchange.cli.grant_request:renew", "Ask for a grant to go on."),
    "replay": ("exchange.cli.grant_replay:replay", "Deliver again, or for the first time, from the retained source."),
    "request": ("exchange.cli.grant_request:request", "Ask for grants of one or more subjects."),
    "review": ("exchange.cli.grant_decide:review", "As the data authority, find a request complete."),
    "revoke": ("exchange.cli.grant_revoke:revoke", "End a grant at once."),
    "show": ("exchange.cli.grant_list:show", "One request or grant, with its clock and its history."),
    "simulate": ("exchange.cli.grant_simulate:simulate", "Run a draft grant over retained records; deliver nothing."),
    "verify": ("exchange.cli.grant_list:verify", "Check that the history of grants is what was written."),
    "withdraw": ("exchange.cli.grant_request:withdraw", "Take back a request that is not decided."),
}


@click.group(cls=LazyGroup, lazy=_COMMANDS)
def grant() -> None:
    """Request, decide, renew and revoke grants; replay, simulate and explain what they give."""
