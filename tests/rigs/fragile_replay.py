"""A replay that kills itself at a chosen moment of its second transaction.

    python -m tests.rigs.fragile_replay MOMENT ID --from TIME …

Moments as for `tests.rigs.fragile_router`.
"""

from __future__ import annotations

import sys

from exchange.cli.main import main
from exchange.replay import replay
from tests.rigs.fragile_router import arm

if __name__ == "__main__":
    arm(sys.argv.pop(1))
    replay.TIMEOUT_S = 4.0  # the next one waits so long for what this one leaves open
    sys.argv[1:1] = ["grant", "replay"]
    main()
