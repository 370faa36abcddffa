"""A replay that kills itself at a chosen moment of its second transaction.

    python -m tests.fault.fragile_replay MOMENT ID --from TIME …

Moments as for `tests.fault.fragile_router`.
"""

from __future__ import annotations

import sys

from exchange.cli.main import main
from tests.fault.fragile_router import arm

if __name__ == "__main__":
    arm(sys.argv.pop(1))
    sys.argv[1:1] = ["grant", "replay"]
    main()
