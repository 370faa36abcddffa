"""An epoch as it would be with other grants: what a replay decides by, and what a draft would give."""

from __future__ import annotations

from exchange.contract.model import Epoch, Grant


def alone(epoch: Epoch, *grants: Grant) -> Epoch:
    """The epoch as if its contract had only these of its grants."""
    return epoch.model_copy(update={"contract": epoch.contract.model_copy(update={"grants": grants})})
