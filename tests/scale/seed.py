"""The reference city's figures, and what of them the generator is given; the run has to reach the others."""

from __future__ import annotations

from dataclasses import dataclass

from tests.scale.households import Group


@dataclass(frozen=True)
class Seed:
    """A year of household checks, as published."""

    accepted: int = 63_816
    accepted_persons: int = 142_673
    completed: int = 67_704
    completed_persons: int = 152_177
    ineligible: int = 9_642
    ineligible_persons: int = 24_544
    saved_yuan: int = 121_000_000
    open_at_end: int = 4_100
    """Cases that the clocks leave open at the end of the year; so many more are carried over from the year before."""

    @property
    def claim_fen(self) -> int:
        """The aid a month of which 12 months are saved in an ineligible case, on average."""
        return 100 * self.saved_yuan // self.ineligible // 12

    def groups(self, size: float) -> list[Group]:
        """Cases to draw. Of each 100 that are completed, 14.24 are planted as ineligible, in both years alike."""
        share = self.ineligible / self.completed
        a_case = self.ineligible_persons / self.ineligible
        carried = self.completed - self.accepted
        carried_persons = self.completed_persons - self.accepted_persons
        mean = self.accepted_persons / self.accepted
        found = []
        for cases, persons, is_carried in (
            (self.accepted, self.accepted_persons, False),
            (carried + self.open_at_end, carried_persons + self.open_at_end * mean, True),
        ):
            bad = cases * share
            for count, people, ineligible in (
                (bad, bad * a_case, True),
                (cases - bad, persons - bad * a_case, False),
            ):
                whole = round(count * size)
                persons_ = min(5 * whole, max(whole, round(people * size)))
                found.append(Group(whole, persons_, ineligible, is_carried))
        return found
