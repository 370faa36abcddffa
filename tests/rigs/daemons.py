"""Daemons of the exchange as processes that are killed and started again."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from tests.rigs.place import Place
from tests.rigs.plain import wait_until

STOP_S = 30.0
STAGGER_S = 2.0


class Daemon:
    """One daemon, `exchange` with these arguments, or another Python module given as `module`."""

    def __init__(self, place: Place, name: str, arguments: Sequence[str], module: str = "exchange") -> None:
        self.name = name
        self.kills = 0
        self._place = place
        self._command = [sys.executable, "-m", module, *arguments]
        self._log = place.folder / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._began_at = 0

    def start(self) -> None:
        """Start it, without waiting until it works."""
        with self._log.open("ab") as log:
            self._began_at = log.tell()
            self._process = subprocess.Popen(
                self._command, env=self._place.environment, cwd=self._place.folder, stdout=log, stderr=log
            )

    def kill(self) -> None:
        """SIGKILL; AssertionError where it had ended by itself."""
        assert self._process is not None
        assert self._process.poll() is None, f"{self.name} ended by itself: {self.tail()}"
        self._process.kill()
        self._process.wait()
        self.kills += 1

    def pause(self) -> None:
        """SIGSTOP: alive to the operating system, silent to everybody else."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """SIGTERM once it has started, and a clean end in time."""
        assert self._process is not None
        wait_until(self.has_started, f"{self.name} starts")
        self._process.terminate()
        try:
            assert self._process.wait(STOP_S) == 0, f"{self.name} did not end cleanly: {self.tail()}"
        finally:
            self.end()

    @property
    def pid(self) -> int:
        """The process's number."""
        assert self._process is not None
        return self._process.pid

    def status(self) -> int | None:
        """Its exit status, that of a signal negative; None while it runs."""
        assert self._process is not None
        return self._process.poll()

    def has_started(self) -> bool:
        """Whether it said so in its log."""
        return b'"started"' in self._log.read_bytes()[self._began_at :]

    def end(self) -> None:
        """See that it is gone, whatever its state."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def tail(self) -> str:
        """The end of its log."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-15:])


class Victim(Protocol):
    """What can be killed and started again, such as a daemon; `kills` says how often it was."""

    name: str
    kills: int

    def start(self) -> None: ...
    def has_started(self) -> bool: ...
    def kill(self) -> None: ...


class Killer(threading.Thread):
    """Kills daemons or other victims at random and starts them again, until `enough`.

    A turn begins when all of them have started and a pause of random length has passed; then some
    of them are killed, at most `STAGGER_S` one after the other. Every second kill first waits for the
    `moment`, which may be given: randomness alone seldom finds the few milliseconds that matter.
    `fault` is what went wrong in a victim before it was killed.
    """

    def __init__(
        self,
        victims: Sequence[Victim],
        pause_s: tuple[float, float],
        chance: random.Random,
        enough: Callable[[Sequence[Victim]], bool],
        moment: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(name=f"killer-{victims[0].name}", daemon=True)
        self.fault: AssertionError | None = None
        self._victims = victims
        self._pause_s = pause_s
        self._chance = chance
        self._enough = enough
        self._moment = moment
        self._cancelled = threading.Event()

    def run(self) -> None:
        try:
            while not self._cancelled.is_set() and not self._enough(self._victims):
                if all(victim.has_started() for victim in self._victims):
                    self._cancelled.wait(self._chance.uniform(*self._pause_s))
                    self._turn()
                self._cancelled.wait(0.2)
        except AssertionError as fault:
            self.fault = fault

    def cancel(self) -> None:
        """End soon; what was killed last runs."""
        self._cancelled.set()

    def _turn(self) -> None:
        for victim in self._chance.sample(self._victims, self._chance.randint(1, len(self._victims))):
            if victim.kills % 2 == 0:
                self._moment()
            victim.kill()
            victim.start()
            self._cancelled.wait(self._chance.uniform(0, STAGGER_S))
