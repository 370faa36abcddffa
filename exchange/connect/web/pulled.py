"""Puts a source that pulls together as connector.yaml describes it."""

from __future__ import annotations

from collections.abc import Sequence

from exchange.connect.config import SourceConfig
from exchange.connect.database import Paths
from exchange.connect.publish import Encoder
from exchange.connect.roll_call import RollCall
from exchange.connect.web.full_pull import FullPull
from exchange.connect.web.pull_source import PullSource
from exchange.connect.web.web_client import WebClient


def pulled(config: SourceConfig, paths: Paths, wanted: Sequence[str] | None, encoder: Encoder | None) -> PullSource:
    """The source, not open yet; with an encoder, `mode: full` is one that notices what is gone."""
    assert config.http is not None
    client = WebClient(config.http, paths)
    if encoder is not None and config.infers_deletions:
        return FullPull(config, client, wanted, RollCall(config, encoder))
    return PullSource(config, client, wanted)
