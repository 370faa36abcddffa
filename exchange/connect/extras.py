"""Libraries that only some connectors need: extras of the package, loaded when a part needs them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from exchange.errors import ConfigError


class MissingExtraError(ConfigError):
    """A part of the exchange needs a library that is not installed."""

    code = "missing-extra"
    remedy = "install it with the package: pip install 'exchange[…]'"


def extra(library: str, name: str) -> Any:
    """The library, which the package's extra of that name installs; raises MissingExtraError."""
    try:
        return import_module(library)
    except ImportError as error:
        raise MissingExtraError(
            f"{library} is not installed", remedy=f"install the extra: pip install 'exchange[{name}]'"
        ) from error
