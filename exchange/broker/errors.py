"""What can be wrong with the local broker, each with its remedy."""

from __future__ import annotations

from exchange.errors import ConfigError, TransientError


class JavaError(ConfigError):
    """Java is missing, too old, or does not run."""

    code = "java"


class MavenError(ConfigError):
    """Maven is missing, or could not fetch the broker's jars."""

    code = "maven"


class PortTakenError(ConfigError):
    """Something that is not our broker listens on the broker's port."""

    code = "port_taken"


class BrokerBusyError(ConfigError):
    """The broker of this home already runs, but not as asked for."""

    code = "broker_busy"


class InsecureDataError(ConfigError):
    """The data is that of a broker without security, or its administrator's credentials are lost."""

    code = "insecure_data"


class BrokerDiedError(TransientError):
    """The broker's process ended, or never became reachable."""

    code = "broker_died"
