"""Ends a grant: removes it from the contract file and from the epoch in force, and passes the barrier."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from exchange import names
from exchange.bus import Cluster
from exchange.bus.topics import TopicAppender
from exchange.contract.edit import rewritten
from exchange.contract.epoch import without
from exchange.contract.file import edit, read_file
from exchange.contract.model import Epoch, Grant
from exchange.contract.period import city_day
from exchange.epochs import Newest, epochs, publish_next
from exchange.errors import ConfigError, ExchangeError
from exchange.router.barrier import Adoption, Passed


class NoGrantError(ConfigError):
    """There never was a grant with this id."""

    code = "grant-unknown"
    remedy = "see `exchange grant list`"


@dataclass(frozen=True)
class Revoked:
    """The grant as it was, and the number of the epoch in force without it; None if no epoch was ever in force.

    `passed` is None if an earlier command already waited for the routers. `fault` says why the grant is still in the
    contract file, if it is.
    """

    grant: Grant
    epoch: int | None
    passed: Passed | None
    fault: ExchangeError | None


def revoke(cluster: Cluster, path: Path, grant_id: str, now: datetime, require: Callable[[Grant], None]) -> Revoked:
    """End the grant: once this has returned, no router releases another record under it. Safe to run again.

    `require` raises if the grant must not be revoked. If the contract file cannot be edited, the grant ends all the
    same. Raises NoGrantError, and EpochNotTakenError as `Adoption.passed` does.
    """
    with ThreadPoolExecutor(2) as pool:
        # Done in threads, while Kafka and the routers answer.
        opened, edited = pool.submit(TopicAppender, cluster, names.CONTRACT_TOPIC), pool.submit(_edited, path, grant_id)
        with Adoption(cluster) as adoption, opened.result() as out:
            grant = _find(cluster, path, adoption.newest, grant_id, now)
            require(grant)
            # The file comes first: whoever applies it from now on does not bring the grant back.
            fault = None
            try:
                edit(path, lambda data: edited.result().get(data) or rewritten(data, drop=[grant_id]))
            except ExchangeError as error:
                fault = error
            published = publish_next(out, adoption.newest, lambda epoch: _without(epoch, grant_id, now))
            if published is None:
                return Revoked(grant, None, None, fault)
            # An earlier command may have published this epoch and died.
            passed = None if adoption.has_passed(published) else adoption.passed(published)
            return Revoked(grant, published.epoch.number, passed, fault)


def _edited(path: Path, grant_id: str) -> dict[bytes, bytes]:
    """The contract file's present content, mapped to the content without the grant."""
    data = read_file(path)
    return {data: rewritten(data, drop=[grant_id])}


def _find(cluster: Cluster, path: Path, newest: Newest, grant_id: str, now: datetime) -> Grant:
    """The grant as in force, or else as the file has it, or as it was: an earlier run may have been interrupted."""
    found = newest.find()
    grants = list(found.epoch.contract.grants) if found else []
    if all(grant.id != grant_id for grant in grants):
        from exchange.contract.load import load  # it loads all that reads schemas; most revocations do not need it

        grants = [grant for published in epochs(cluster) for grant in published.epoch.contract.grants]
        grants += load(path, city_day(now)).contract.grants
    for grant in reversed(grants):
        if grant.id == grant_id:
            return grant
    raise NoGrantError(f"there is no grant {grant_id}")


def _without(epoch: Epoch, grant_id: str, now: datetime) -> Epoch | None:
    is_there = any(grant.id == grant_id for grant in epoch.contract.grants)
    return without(epoch, grant_id, now) if is_there else None
