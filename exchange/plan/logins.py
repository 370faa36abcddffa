"""Who may have a login to Kafka, in which file it is kept, and when it may be taken away."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from exchange import credentials
from exchange.bus import Cluster, users
from exchange.bus.rule import in_words
from exchange.contract.load import load
from exchange.contract.period import city_day
from exchange.document.nearest import nearest
from exchange.errors import ConfigError
from exchange.plan.access import owned, principal, principals
from exchange.plan.apply import read_actual
from exchange.plan.plan import Actual
from exchange.settings import Settings


class UnknownPrincipalError(ConfigError):
    """This name is neither a department of the contract nor a service."""

    code = "unknown-principal"
    remedy = "name a department of the contract or a service"


class StillNeededError(ConfigError):
    """The login belongs to a department that the exchange still knows."""

    code = "still-needed"
    remedy = "take it out of the contract first"


def known_principals(settings: Settings) -> dict[str, str]:
    """Every department of the contract and every service, with its title."""
    contract = load(settings.contract, city_day(datetime.now(UTC))).contract
    return dict.fromkeys(credentials.SERVICES, "service") | {d.id: d.title.zh for d in contract.departments}


def require_known(ids: Iterable[str], known: Mapping[str, str]) -> list[str]:
    """The ids, each once; raises UnknownPrincipalError if one of them is unknown."""
    for id_ in ids:
        if id_ not in known:
            raise UnknownPrincipalError(f"{id_!r} is not a department of the contract", remedy=nearest(id_, known))
    return list(dict.fromkeys(ids))


def file_of(settings: Settings, cluster: Cluster, id_: str) -> Path:
    """The principal's credential file. The administrator's is the file from which its login was read."""
    if settings.credentials and cluster.security and cluster.security.username == id_:
        return settings.credentials
    return credentials.file_of(settings.home, id_)


def require_removable(settings: Settings, cluster: Cluster, id_: str) -> list[Path]:
    """The credential files to delete together with a former department's login.

    Raises StillNeededError for a service, for a department of the contract or of the epoch in force, and if the
    login still has rights; UnknownPrincipalError if the login does not belong to the exchange.
    """
    known = known_principals(settings)
    if id_ in credentials.SERVICES:
        remedy = f"replace its password: exchange department rotate-credential {id_}"
        raise StillNeededError(f"{id_} is a service of the exchange, not a department", remedy=remedy)
    if id_ in known:
        remedy = "take it, its subjects and its grants out, and run `exchange apply`"
        raise StillNeededError(f"{settings.contract} still has department {id_}", remedy=remedy)
    path = credentials.file_of(settings.home, id_)
    files = [file for file in (path, users.staged(path)) if file.exists()]
    actual = read_actual(cluster)
    former = actual.departments.intersection(users.principals(cluster)).difference(known)
    # Others on this Kafka cluster have logins too, which are none of the exchange's business.
    if not files and id_ not in former:
        remedy = nearest(id_, former) if former else "see `exchange department list`"
        raise UnknownPrincipalError(f"{id_!r} is not a former department with a login", remedy=remedy)
    _require_gone(id_, actual)
    return files


def _require_gone(id_: str, actual: Actual) -> None:
    """Raise StillNeededError if `exchange apply` has not yet taken the department's rights away."""
    remedy = f"run `exchange apply`, then `exchange department remove {id_}`"
    if actual.epoch and any(department.id == id_ for department in actual.epoch.contract.departments):
        raise StillNeededError(f"epoch {actual.epoch.number}, which is in force, has {id_}", remedy=remedy)
    ours = principals(actual.departments)
    if rules := [rule for rule in actual.access or () if rule.principal == principal(id_) and owned(rule, ours)]:
        raise StillNeededError(f"{id_} may still {in_words(rules)}", remedy=remedy)
