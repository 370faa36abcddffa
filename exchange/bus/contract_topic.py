"""The newest epoch on `exchange.contract`."""

from __future__ import annotations

from exchange.bus.connection import Cluster
from exchange.bus.topics import read_all
from exchange.contract import names
from exchange.contract.epoch import decode, takes_over
from exchange.contract.model import Epoch


def latest_epoch(cluster: Cluster) -> tuple[Epoch, int] | None:
    """The epoch in force and its offset; None where none was ever published.

    EpochError where a record of the topic is not an epoch.
    """
    newest: tuple[Epoch, int] | None = None
    for record in read_all(cluster, names.CONTRACT):
        if record.value is None:
            continue
        epoch = decode(record.value)
        if takes_over(epoch, newest[0] if newest else None):
            newest = epoch, record.offset
    return newest
