"""What can go wrong with the local broker, with a remedy for each."""

from __future__ import annotations

from exchange.errors import ConfigError, TransientError


class JavaError(ConfigError):
    """Java is missing, too old, or does not run."""

    code = "java"
    remedy = "install Java 17 or newer, or name it in EXCHANGE_JAVA"


class MavenError(ConfigError):
    """Maven is missing, or could not fetch the broker's jars."""

    code = "maven"
    remedy = "install Maven, see that it reaches a repository, and try again"


class PortTakenError(ConfigError):
    """Something that is not our broker listens on the broker's port."""

    code = "port-taken"
    remedy = "stop that program, or choose another port with --port or EXCHANGE_BOOTSTRAP_SERVERS"


class BrokerBusyError(ConfigError):
    """The broker of this home already runs, but not as requested."""

    code = "broker-busy"
    remedy = "run `exchange broker stop` first, or use that port"


class BrokerFolderError(ConfigError):
    """The local broker's folder cannot be written."""

    code = "broker-folder"
    remedy = "make room on its disk, or see to the rights of the folder; then start it again"


class InsecureDataError(ConfigError):
    """The data belongs to a broker without security, or its administrator's credentials are lost."""

    code = "insecure-data"
    remedy = "restore the home folder from a backup, or move it out of the way"


class BrokerDiedError(TransientError):
    """The broker's process ended, or never became reachable."""

    code = "broker-died"
    remedy = "read the end of the broker's log"
