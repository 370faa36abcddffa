"""The compiler's code is given back, and comes again if it is needed."""

from __future__ import annotations

import subprocess
import sys

import pytest

_PROGRAM = "from tests.unit.test_records_compiler import main; main()"
_SMALL_KB = 4_000


def resident_kb() -> int:
    """How much of LLVM's code is in the memory of this process."""
    with open("/proc/self/smaps") as maps:
        lines = [line.split() for line in maps]
    sizes, is_code = 0, False
    for line in lines:
        if "-" in line[0]:
            is_code = line[1] == "r-xp" and "llvmlite" in line[-1]
        elif is_code and line[0] == "Rss:":
            sizes += int(line[1])
    return sizes


def main() -> None:
    import numba

    from exchange.records.compiler import give_back

    assert numba.njit(lambda n: n + 1)(1) == 2
    before = resident_kb()
    give_back()
    after = resident_kb()
    assert numba.njit(lambda n: n + 2)(1) == 3
    print(before, after, resident_kb())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says what a process holds")
def test_the_compilers_code_is_given_back_and_comes_again() -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True)
    before, after, again = map(int, done.stdout.split())
    assert before > 2 * _SMALL_KB, "it is there"
    assert after < _SMALL_KB
    assert again > after
