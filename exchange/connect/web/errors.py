"""What can be wrong with a web service."""

from __future__ import annotations

from exchange.errors import ConfigError, TransientError


class WebUnavailableError(TransientError):
    """A web service does not answer, or says that it cannot now, perhaps for how long."""

    code = "web-unavailable"
    remedy = "see whether the service runs; the connector tries again by itself"

    def __init__(self, message: str, *, remedy: str = "", wait_s: float = 0.0) -> None:
        super().__init__(message, remedy=remedy)
        self.wait_s = wait_s


class WebRefusedError(ConfigError):
    """A web service refuses the connector, or answers what cannot be used."""

    code = "web-refused"
    remedy = "correct the address, `auth` or the parameters; `exchange connector check` asks the service once"

    def __init__(self, message: str, *, remedy: str = "", status: int = 0) -> None:
        super().__init__(message, remedy=remedy)
        self.status = status
