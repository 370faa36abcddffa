"""`python -m tests.scale household|quota`: runs a system at a part of the reference city's size.

`household`: a year of household checks through the case engine and the departments' own answers.
`quota`: a month of car quotas: applications through the engine, then list, seal, draw and codes at the whole size.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from pathlib import Path

from tests.scale import household_run, quota_run

MARK = "made-by-tests-scale"


def main(arguments: list[str]) -> int:
    """Return 1 if something was not as it has to be."""
    parser = argparse.ArgumentParser(prog="python -m tests.scale", description=__doc__)
    parser.add_argument("system", choices=["household", "quota"])
    parser.add_argument("--size", type=float, default=0.01, help="1 is the reference city; default 0.01")
    parser.add_argument("--folder", type=Path, help="where databases are made anew; default build/scale/SYSTEM")
    parser.add_argument("--database", default="", help="URL of an empty PostgreSQL for the asking department")
    parser.add_argument("--check", action="store_true", help="compare every finding with the second program's")
    parser.add_argument("--profile", type=Path, help="write where the processor's time goes, for pstats")
    chosen = parser.parse_args(arguments)
    home = _empty(chosen.folder or Path("build", "scale", chosen.system))
    run = {"household": household_run.run, "quota": quota_run.run}[chosen.system]
    began = time.monotonic()
    is_right = run(home, chosen.size, chosen.database, check=chosen.check, profile=chosen.profile)
    print(f"{time.monotonic() - began:,.0f} s in all; databases and files are in {home}")
    return 0 if is_right else 1


def _empty(folder: Path) -> Path:
    """The folder, empty; only one that an earlier run has made is emptied."""
    if folder.exists() and any(folder.iterdir()):
        if not (folder / MARK).exists():
            sys.exit(f"{folder} is not empty and was not made by a run: name another one with --folder")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).touch()
    (folder / "city").mkdir()
    return folder.resolve()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
