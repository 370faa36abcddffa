"""Who may have a login to Kafka: given, replaced and taken away, with the credential file that it is kept in."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from exchange import credentials, names
from exchange.bus import Cluster, users
from exchange.bus.connection import connect
from exchange.bus.rule import in_words
from exchange.contract.load import load
from exchange.contract.period import city_day
from exchange.credentials import CredentialsError
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


class LoginExistsError(ConfigError):
    """Somebody else may hold the credentials that would be replaced."""

    code = "login-exists"
    remedy = "if it is lost: `exchange department rotate-credential`"


class StillNeededError(ConfigError):
    """The login belongs to a department that the exchange still knows."""

    code = "still-needed"
    remedy = "take it out of the contract first"


@dataclass(frozen=True)
class Login:
    """A principal: whether it can log in, and its credential file if that is here."""

    principal: str
    title: str
    login: bool
    file: Path | None


@dataclass(frozen=True)
class Removable:
    """A former department, and the credential files that go with its login."""

    principal: str
    files: list[Path]
    cluster: Cluster

    def remove(self) -> bool:
        """Remove its login and its files; False if it had no login. Safe to run again."""
        removed = users.remove(self.cluster, self.principal)
        for file in self.files:
            file.unlink(missing_ok=True)
        return removed


def logins(settings: Settings) -> list[Login]:
    """Every principal of the contract, with or without a login, and every other principal that has one."""
    cluster, known = _administrators(settings), _known(settings)
    there = users.principals(cluster)
    return [
        Login(each, known.get(each, "not in the contract"), each in there, _file_here(settings, cluster, each))
        for each in [*known, *sorted(there - set(known))]
    ]


def add(settings: Settings, ids: Collection[str] | None) -> tuple[dict[str, Path | None], dict[str, Path]]:
    """Give a login to these principals, or (None) to all that have none, and write their files. Safe to run again.

    Returns the principals that had a login, with the file if it is here, and the files that were written. Before it
    gives any login, it raises UnknownPrincipalError for an unknown principal, and LoginExistsError for a principal that
    has a login but no file here.
    """
    known = _known(settings)
    wanted = list(known) if ids is None else _require_known(ids, known)
    cluster = _administrators(settings)
    there = users.principals(cluster)
    had: dict[str, Path | None] = {}
    missing = {}
    for who in wanted:
        path = _file_of(settings, cluster, who)
        if who not in there:
            missing[who] = path
        elif path.exists() or users.take_up(cluster, path):
            had[who] = path
        elif ids is None:
            had[who] = None
        else:
            raise LoginExistsError(
                f"{who} has a login, and its file is not here",
                remedy=f"if it is lost: exchange department rotate-credential {who}",
            )
    users.issue(cluster, missing)
    return had, missing


def rotate(settings: Settings, id_: str) -> Path:
    """Replace the password of a department or service; return its new credential file. Safe to run again.

    When this returns, nobody can connect with the old password.
    """
    _require_known([id_], _known(settings))
    own = credentials.file_of(settings.home, names.ADMIN_PRINCIPAL)
    if id_ == names.ADMIN_PRINCIPAL and users.staged(own).exists():
        users.take_up(_administrators(settings), own)  # an earlier rotation that was interrupted
    cluster = _administrators(settings)
    path = _file_of(settings, cluster, id_)
    if id_ not in users.principals(cluster):
        raise UnknownPrincipalError(f"{id_} has no login yet", remedy=f"exchange department add {id_}")
    users.issue(cluster, {id_: path})
    return path


def removable(settings: Settings, id_: str) -> Removable:
    """The former department of that name, with its credential files here.

    Raises StillNeededError for a service, for a department of the contract or of the epoch in force, and if the
    login still has rights; UnknownPrincipalError if the login does not belong to the exchange.
    """
    cluster, known = _administrators(settings), _known(settings)
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
    return Removable(id_, files, cluster)


def _require_gone(id_: str, actual: Actual) -> None:
    """Raise StillNeededError if `exchange apply` has not yet taken the department's rights away."""
    remedy = f"run `exchange apply`, then `exchange department remove {id_}`"
    if actual.epoch and any(department.id == id_ for department in actual.epoch.contract.departments):
        raise StillNeededError(f"epoch {actual.epoch.number}, which is in force, has {id_}", remedy=remedy)
    ours = principals(actual.departments)
    if rules := [rule for rule in actual.access or () if rule.principal == principal(id_) and owned(rule, ours)]:
        raise StillNeededError(f"{id_} may still {in_words(rules)}", remedy=remedy)


def _administrators(settings: Settings) -> Cluster:
    return connect(settings, "exchange.department", names.ADMIN_PRINCIPAL)


def _known(settings: Settings) -> dict[str, str]:
    """Every department of the contract and every service, with its title."""
    contract = load(settings.contract, city_day(datetime.now(UTC))).contract
    return dict.fromkeys(credentials.SERVICES, "service") | {d.id: d.title.zh for d in contract.departments}


def _require_known(ids: Iterable[str], known: Mapping[str, str]) -> list[str]:
    for id_ in ids:
        if id_ not in known:
            raise UnknownPrincipalError(f"{id_!r} is not a department of the contract", remedy=nearest(id_, known))
    return list(dict.fromkeys(ids))


def _file_of(settings: Settings, cluster: Cluster, id_: str) -> Path:
    """The principal's credential file: the administrator's own is the one that it was read from."""
    if settings.credentials and cluster.security and cluster.security.username == id_:
        return settings.credentials
    return credentials.file_of(settings.home, id_)


def _file_here(settings: Settings, cluster: Cluster, id_: str) -> Path | None:
    with suppress(CredentialsError):  # somebody else's login may have a name that no file of ours can have
        if (path := _file_of(settings, cluster, id_)).exists():
            return path
    return None
