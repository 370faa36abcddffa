"""Shows a plan to people and to scripts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from itertools import groupby
from typing import Any

import click

from exchange.cli.say import counted, say
from exchange.plan.changes import Change, DeleteTopic, PublishEpoch, RemoveAccess
from exchange.plan.grant_changes import AccessChange
from exchange.plan.plan import Plan

_LEFT_OUT = ("target", "records", "epoch")


def show(plan: Plan) -> None:
    """Print every change on a line of its own, then what people should know about them."""
    for change in plan.changes:
        say(change.text, "red" if isinstance(change, DeleteTopic | RemoveAccess) else None)
        if isinstance(change, PublishEpoch):
            for line in in_words(change):
                say(f"    {line}")
    for notice in plan.notices:
        say(f"note: {notice}", "yellow")
    for orphan in plan.orphans:
        say(f"note: topic {orphan} is not in the contract; `--delete {orphan}` would remove it", "yellow")
    for refusal in plan.refusals:
        say(f"refused: {refusal.target}: {refusal.message} — {refusal.remedy}", "red")
    if plan.is_empty:
        click.echo("No changes: the cluster is as the contract has it." if plan.whole else "No changes of this part.")
    elif not plan.refusals:
        click.echo(f"{counted(len(plan.changes), 'change')}.")


def in_words(published: PublishEpoch) -> Iterable[str]:
    """What an epoch changes: departments and subjects, then each reader's access, under the reader's name."""
    yield from published.differences
    for reader, changes in groupby(published.access, lambda change: change.reader):
        yield f"{reader}:"
        yield from (f"    {line}" for change in changes for line in _lines(change))


def as_json(plan: Plan) -> dict[str, Any]:
    """The whole plan, for `show_json`."""
    return {
        "changes": [_facts(change) for change in plan.changes],
        "refusals": plan.refusals,
        "notices": plan.notices,
        "orphans": plan.orphans,
    }


def _lines(change: AccessChange) -> Iterable[str]:
    return (f"{text} [grant {change.grant}]" for text in change.texts)


def _facts(change: Change) -> dict[str, Any]:
    facts: dict[str, Any] = {"kind": change.kind, "part": change.part, "target": change.target, "text": change.text}
    if isinstance(change, PublishEpoch):
        facts["epoch"] = change.epoch.number
    return facts | {f.name: getattr(change, f.name) for f in fields(change) if f.name not in _LEFT_OUT}
