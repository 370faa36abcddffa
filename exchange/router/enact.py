"""Takes the steps of a plan and passes the barrier after its epoch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from exchange.contract.file import read_file
from exchange.errors import TransientError
from exchange.plan.apply import apply
from exchange.plan.changes import Change, PublishEpoch
from exchange.plan.find import Found, administrators
from exchange.router.barrier import Adoption, Passed
from exchange.settings import Settings


@dataclass(frozen=True)
class Enacted:
    """The number of the epoch that was published, if any; `passed` is None if the routers had the newest already."""

    published: int | None
    passed: Passed | None


def enact(settings: Settings, found: Found, progress: Callable[[str], None]) -> Enacted:
    """Apply the plan (see `plan.apply.apply`); return when every router has the new epoch.

    From then on no record is released under an earlier epoch. `progress` is called before each step.
    """

    def before(change: Change) -> None:
        # Revoking changes first the file, then the epoch: an older reading of the file must not undo it.
        if isinstance(change, PublishEpoch) and read_file(settings.contract) != found.contract:
            message = f"{settings.contract} was changed meanwhile; no epoch is published"
            raise TransientError(message, remedy="run this again")
        progress(change.text)

    cluster = administrators(settings)
    with Adoption(cluster) as adoption:
        apply(cluster, found.plan, before)
        published = [change.epoch.number for change in found.plan.changes if isinstance(change, PublishEpoch)]
        # Even if there are no changes: an earlier command may have published an epoch and died.
        newest = adoption.newest.find()
        progress("waiting for the routers …")
        passed = adoption.passed(newest) if newest and not adoption.has_passed(newest) else None
    return Enacted(published[0] if published else None, passed)
