"""The result of a run: facts from ledger, Kafka and the readers' databases, and whether they agree."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from exchange import names
from exchange.audit import questions as audit
from exchange.audit.disclosures import Disclosure, disclosures
from exchange.audit.questions import Exchanged, PartitionBalance, Selection
from exchange.audit.reconcile import Comparison, reconcile
from exchange.bus.connection import connect
from exchange.contract.load import Loaded
from exchange.demo import case_summary
from exchange.demo.city.expect import Expectations, Verdict
from exchange.demo.city.make import Manifest
from exchange.demo.rig import Flow
from exchange.demo.worked_cases import WorkedCase
from exchange.keys import ledger_key
from exchange.ledger.entry import tag
from exchange.ledger.store import LedgerStore, ledger_url
from exchange.settings import Settings


@dataclass(frozen=True)
class Facts:
    """All that the summary shows; `rejected` is by subject, `disclosures` are about one resident."""

    manifest: Manifest
    planted: int
    verdicts: list[Verdict]
    exchanged: list[Exchanged]
    partitions: list[PartitionBalance]
    unbalanced: int
    comparisons: list[Comparison]
    rejected: dict[str, int]
    disclosures: list[Disclosure]
    cases: list[WorkedCase]
    exchanged_by_cases: int

    def published(self, subject: str) -> int:
        """Records of the subject that the routers read, bad ones included."""
        return sum(p.records for p in self.partitions if p.subject == subject)

    @property
    def withdrawn(self) -> int:
        """The number of rows that readers had and that were taken from them."""
        return sum(sum(e.withdrawn.values()) for e in self.exchanged)

    @property
    def quarantined(self) -> int:
        """The number of invalid records that the routers put into quarantine."""
        return sum(p.quarantined for p in self.partitions)

    def faults(self) -> list[str]:
        """Everything that is not as it must be."""
        found = [
            f"{v.grant.id}: {v.grant.reader} holds {v.held.rows:,} rows of {v.grant.subject}, "
            f"{v.expected.rows:,} are due{'' if v.held.rows != v.expected.rows else ', with other contents'}"
            for v in self.verdicts
            if not v.right
        ]
        if self.quarantined != self.planted:
            found.append(f"{self.quarantined} records are quarantined, {self.planted} bad ones were planted")
        for subject, held in self.manifest.registers.items():
            if self.rejected.get(subject, 0) != held.rejected:
                found.append(f"{subject}: {self.rejected.get(subject, 0)} rows rejected, {held.rejected} are bad")
        published = sum(p.records for p in self.partitions) - self.planted - self.exchanged_by_cases
        if published != self.manifest.published:
            due = f"the departments' good rows and their changes are {self.manifest.published:,}"
            found.append(f"{published:,} records are published, {due}")
        if self.unbalanced or not all(p.balanced for p in self.partitions):
            found.append("the ledger does not balance: see `exchange audit balance`")
        found += [
            f"{each.planted.case_no}: the finding is not what was planted" for each in self.cases if not each.right
        ]
        wrong = sum(not c.balanced or c.pending > 0 for c in self.comparisons)
        if wrong:
            found.append(f"ledger and Kafka differ on {wrong} partitions: see `exchange audit balance`")
        return found


def gather(
    settings: Settings,
    loaded: Loaded,
    manifest: Manifest,
    planted: int,
    expectations: Expectations,
    cases: list[WorkedCase],
    report: Callable[[str], None],
) -> Facts:
    """Collect the facts; `report` is called with what is looked at."""
    verdicts = []
    for grant in expectations.grants:
        report(f"{grant.reader}: {grant.subject}")
        verdicts.append(expectations.verdict(grant))
    store = LedgerStore(ledger_url(settings))
    try:
        report("ledger")
        everything = Selection()
        cluster = connect(settings, "exchange.demo.audit", names.LEDGER_PRINCIPAL)
        witness = tag(manifest.witness.encode(), ledger_key(settings))
        return Facts(
            manifest=manifest,
            planted=planted,
            verdicts=verdicts,
            exchanged=audit.exchanged(store, everything),
            partitions=audit.balance_of_partitions(store, everything),
            unbalanced=sum(not b.balanced for b in audit.balance_of_grants(store, everything)),
            comparisons=reconcile(cluster, store, None, lambda topic, _: report(topic)),
            rejected={s.id: _rejected(settings.home / "rejects" / f"{s.id}.jsonl") for s in loaded.contract.subjects},
            disclosures=[d for d in disclosures(store, witness, everything) if d.verdict == "delivered"],
            cases=cases,
            exchanged_by_cases=expectations.exchanged_by_cases(),
        )
    finally:
        store.close()


def _rejected(path: Path) -> int:
    """The number of places that the reject file names; after a kill, a place can appear twice."""
    if not path.exists():
        return 0
    return len({json.loads(line)["place"] for line in path.read_text().splitlines()})


def show(console: Console, loaded: Loaded, facts: Facts, flows: Sequence[Flow]) -> None:
    """Print the facts for people; `flows` are the first delivery and that of the changes, as far as they were run."""
    _show_subjects(console, loaded, facts)
    _show_readers(console, facts)
    case_summary.show(console, facts.cases)
    _show_person(console, facts)
    delivered = sum(e.delivered for e in facts.exchanged)
    checked = sum(c.compared for c in facts.comparisons)
    records = sum(p.records for p in facts.partitions)
    rightly = sum(v.right for v in facts.verdicts)
    console.print(f"\n[bold]Ledger[/]      {records:,} records in, {delivered:,} deliveries out, each accounted for;")
    console.print(f"            counts agree with Kafka on {checked} partitions")
    _show_life(console, facts)
    rightly_found = sum(each.right for each in facts.cases)
    console.print(f"[bold]Cases[/]       {rightly_found} of {len(facts.cases)} found as planted; ", end="")
    console.print(f"{facts.exchanged_by_cases:,} questions and answers, each only to whom it is for")
    console.print(f"[bold]Readers[/]     {rightly} of {len(facts.verdicts)} hold exactly what their grant allows")
    published, delivered = (sum(getattr(flow, name) for flow in flows) for name in ("published", "delivered"))
    if published or delivered:
        first, s = flows[0], flows[0].seconds
        per_s = f"{first.published / s:,.0f} records/s in, {first.delivered / s:,.0f} deliveries/s at first"
        console.print(f"[bold]This run[/]    {published:,} published, {delivered:,} delivered; {per_s}")
    else:
        console.print("[bold]This run[/]    nothing new to publish, and nothing was delivered again")


def _show_life(console: Console, facts: Facts) -> None:
    city, wrong = facts.manifest, sum(not v.right for v in facts.verdicts)
    what = f"{city.updated + city.deleted:,} changes ({city.deleted:,} deletions), a grant narrowed, one revoked"
    found = f"{wrong} not true" if wrong else "all true"
    console.print(f"[bold]Life[/]        {what};")
    console.print(f"            {facts.withdrawn:,} rows withdrawn, {len(facts.verdicts)} copies compared, {found}")


def _show_subjects(console: Console, loaded: Loaded, facts: Facts) -> None:
    table = Table("subject", "", title="\nPublished", title_justify="left", box=None)
    for name in ("rows", "changed", "deleted", "rejected", "published", "quarantined"):
        table.add_column(name, justify="right")
    for subject in loaded.contract.subjects:
        held = facts.manifest.registers.get(subject.id)
        if held is None:
            continue
        bad = sum(p.quarantined for p in facts.partitions if p.subject == subject.id)
        numbers = (held.rows, held.updated, held.deleted, facts.rejected[subject.id], facts.published(subject.id), bad)
        table.add_row(subject.id, subject.title.zh, *(f"{n:,}" for n in numbers))
    console.print(table)


def _show_readers(console: Console, facts: Facts) -> None:
    table = Table("reader", "subject", title="\nDelivered", title_justify="left", box=None)
    for name in ("delivered", "withdrawn", "in its database"):
        table.add_column(name, justify="right")
    table.add_column("withheld")
    delivered: Counter[str] = Counter()
    withdrawn: Counter[str] = Counter()
    withheld: dict[str, Counter[str]] = {}
    for item in facts.exchanged:
        delivered[item.grant] += item.delivered
        withdrawn[item.grant] += sum(item.withdrawn.values())
        withheld.setdefault(item.grant, Counter()).update(item.withheld)
    for v in sorted(facts.verdicts, key=lambda v: v.grant.reader):
        if v.grant.subject not in facts.manifest.registers:
            continue
        reasons = ", ".join(f"{n:,} {reason}" for reason, n in sorted(withheld.get(v.grant.id, {}).items()))
        mark = "[green]✓[/]" if v.right else "[red]✗[/]"
        if v.grant.id in (facts.manifest.life.ended if facts.manifest.life else ()):
            reasons = f"{reasons}; the grant has ended".removeprefix("; ")
        numbers = f"{delivered[v.grant.id]:,}", f"{withdrawn[v.grant.id]:,}", f"{v.held.rows:,} {mark}"
        table.add_row(v.grant.reader, v.grant.subject, *numbers, reasons)
    console.print(table)


def _show_person(console: Console, facts: Facts) -> None:
    person = facts.manifest.witness
    title = f"\nWho received records of resident {person[:6]}********{person[-4:]}"
    table = Table("reader", "subject", title=title, title_justify="left", box=None)
    table.add_column("records", justify="right")
    table.add_column("purpose")
    table.add_column("legal basis")
    groups: Counter[tuple[str, str, str, str]] = Counter()
    for d in facts.disclosures:
        groups[d.reader, d.subject, d.purpose, d.basis] += d.records
    for (reader, subject, purpose, basis), records in sorted(groups.items()):
        table.add_row(reader, subject, str(records), purpose, basis)
    console.print(table)
