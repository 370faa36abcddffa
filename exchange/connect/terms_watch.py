"""What an epoch says to one source or sink, and whether it still says so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Generic, Protocol, TypeVar

from exchange.bus.connection import Cluster
from exchange.contract.model import Epoch, Grant, Subject
from exchange.contract.period import city_day, delivering
from exchange.epochs import NoContractError, Published, latest_epoch
from exchange.errors import ConfigError, TransientError

Terms = TypeVar("Terms")


class NotInContractError(ConfigError):
    """A connector names something that the contract in force does not give its department."""

    code = "not-in-contract"
    remedy = "correct the connector's `subject`, or the contract, and apply"


class TermsChangedError(TransientError):
    """A new epoch says something else to a source or sink than the one under which it works."""

    code = "terms-changed"
    remedy = "the connector goes on under the new epoch by itself"


@dataclass(frozen=True)
class SourceTerms:
    """The subject that a source publishes, and the schema ids that its records may carry, newest last."""

    subject: Subject
    writers: tuple[int, ...]


@dataclass(frozen=True)
class SinkTerms:
    """What a reader gets of a subject: under the last grant that has begun, or else the first one that will.

    `writers`: the schema ids of what its owner publishes, newest last; `view`: that of what the grant gives, if it is
    another; `given`: the fields that the grant gives, None if it gives records as they are.
    """

    subject: Subject
    writers: tuple[int, ...]
    grant: Grant | None
    view: int | None
    given: tuple[str, ...] | None
    is_in_force: bool
    has_begun: bool


def source_terms(department: str, subject: str, epoch: Epoch) -> SourceTerms:
    """What the epoch says to the department's source; raises NotInContractError if the subject is not its own."""
    writers = epoch.writers.get(subject)
    if not writers or not subject.startswith(f"{department}."):
        raise NotInContractError(
            f"{department} does not own a subject {subject}",
            remedy="correct the connector's `subject`, or add it to topics.yaml and apply",
        )
    return SourceTerms(epoch.contract.subject(subject), writers)


def sink_terms(department: str, subject: str, epoch: Epoch, now: datetime) -> SinkTerms:
    """What the epoch says to the department's sink; raises NotInContractError if there is no such subject."""
    writers = epoch.writers.get(subject)
    if not writers:
        raise NotInContractError(
            f"there is no subject {subject}, of which {department} has a sink",
            remedy="correct the sink's `subject`, or remove the sink",
        )
    grant, of = delivering(epoch.contract, subject, department, now), epoch.contract.subject(subject)
    if grant is None:
        return SinkTerms(of, writers, None, None, None, is_in_force=False, has_begun=False)
    has_begun = grant.from_ <= city_day(now)
    is_in_force = has_begun and city_day(now) <= grant.until
    return SinkTerms(of, writers, grant, epoch.views.get(grant.id), epoch.given(grant), is_in_force, has_begun)


class NewestEpoch(Protocol):
    """Where the newest epoch is seen that was published so far; it may come a little late."""

    @property
    def newest(self) -> Published | None: ...


def _now() -> datetime:
    return datetime.now(UTC)


class TermsWatch(Generic[Terms]):
    """The terms of one worker, which it compares with the newest epoch at each page or poll.

    `of` makes them of an epoch, for a moment: they may change with the city's day.
    """

    def __init__(
        self,
        cluster: Cluster,
        watch: NewestEpoch,
        of: Callable[[Epoch, datetime], Terms],
        *,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        self._cluster = cluster
        self._watch = watch
        self._of = of
        self._clock = clock
        self._newest: Epoch | None = None
        self._terms: Terms | None = None
        self._compared: tuple[int, date] | None = None

    def begin(self) -> tuple[Terms, Epoch]:
        """The terms by which to work from now on, and their epoch, which was the newest one during this call."""
        self._terms = None  # if this fails, each new epoch is worth another attempt
        epoch, now = self._read(), self._clock()
        self._compared = (epoch.number, city_day(now))
        self._terms = self._of(epoch, now)
        return self._terms, epoch

    def has_changed(self) -> bool:
        """Whether the newest epoch that the watch has seen, or the day, makes other terms than `begin` returned."""
        seen = self._watch.newest
        if seen is not None and (self._newest is None or seen.epoch.number > self._newest.number):
            self._newest = seen.epoch
        return self._newest is not None and self._differs(self._newest)

    def confirm(self) -> None:
        """Raise TermsChangedError if the newest epoch, as of now, makes other terms.

        So a caller makes sure that what it has polled was not delivered under terms that it does not know yet.
        """
        if self._differs(self._read()):
            raise TermsChangedError("the contract says something else now")

    def _read(self) -> Epoch:
        found = latest_epoch(self._cluster)
        if found is None:
            raise NoContractError
        self._newest = found.epoch
        return found.epoch

    def _differs(self, epoch: Epoch) -> bool:
        now = self._clock()
        at = (epoch.number, city_day(now))
        if at == self._compared:
            return False
        if self._terms is None or self._of(epoch, now) != self._terms:
            return True
        self._compared = at
        return False
