"""What the ledger leaves of a replay's window."""

from __future__ import annotations

import numpy as np
import pytest

from exchange.gap import Cause, Gap
from exchange.ledger.entry import of_gap
from exchange.replay.due import DueWindow, Order, _strike

ORDER = Order("g.1", "g", 0, None, again=False)


@pytest.mark.parametrize(
    ("cause", "accepted", "due"), [("recreated", True, True), ("recreated", False, False), ("expired", True, False)]
)
def test_what_was_done_of_a_topic_that_is_gone_is_not_done_of_the_new_one(
    cause: Cause, accepted: bool, due: bool
) -> None:
    window = DueWindow(0, 0, np.zeros(3, bool))
    _strike(window, of_gap(Gap("subject.a.x", 0, 3, 0, cause, "new"), 1, "r", 0, accepted=accepted), ORDER)
    assert window.due.tolist() == [due] * 3
