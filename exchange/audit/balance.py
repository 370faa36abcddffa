"""Whether the whole ledger balances: with itself, and if asked for, with the records on Kafka."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from exchange import names
from exchange.audit.gaps import open_gaps
from exchange.audit.questions import (
    GrantBalance,
    PartitionBalance,
    Selection,
    Undecided,
    balance_of_grants,
    balance_of_partitions,
    undecided,
)
from exchange.audit.reconcile import Comparison, behind, reconcile
from exchange.audit.reread import Report
from exchange.bus import Cluster
from exchange.epochs import latest_epoch
from exchange.gap import Gap
from exchange.ledger.store import LedgerStore

Summed = GrantBalance | PartitionBalance | Undecided | Comparison


@dataclass(frozen=True)
class Balance:
    """The sums, part by part; `undecided_entries` is how many entries wait for the end of their transaction.

    If Kafka was asked too: `kafka` compares the partitions, `behind` is how many offsets of the ledger the database
    lacks, and `open_gaps` are the gaps at which the routers stand still.
    """

    grants: Sequence[GrantBalance]
    partitions: Sequence[PartitionBalance]
    gaps: Sequence[Undecided]
    undecided_entries: int
    kafka: Sequence[Comparison] = ()
    behind: int = 0
    open_gaps: Sequence[Gap] = ()

    @property
    def balanced(self) -> bool:
        """Whether every part balances, and nothing is missing."""
        parts: Iterable[Summed] = chain(self.grants, self.partitions, self.gaps, self.kafka)
        return all(one.balanced for one in parts) and not self.behind and not self.open_gaps


def balance(store: LedgerStore, selection: Selection) -> Balance:
    """The sums of the selected entries, according to the database."""
    grants, partitions = balance_of_grants(store, selection), balance_of_partitions(store, selection)
    return Balance(grants, partitions, undecided(store, selection), store.open_entries())


def balance_against_kafka(cluster: Cluster, store: LedgerStore, selection: Selection, report: Report) -> Balance:
    """As `balance`, and count the records on Kafka too; only on a quiet system, see `reconcile`."""
    return replace(
        balance(store, selection),
        behind=behind(cluster, store),
        kafka=reconcile(cluster, store, selection.subject, report),
        open_gaps=[
            gap
            for gap in open_gaps(cluster, latest_epoch(cluster))
            if selection.subject in (None, names.subject_of(gap.topic))
        ],
    )
