"""A register: the rows that one department holds for one subject, made chunk by chunk."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from exchange.demo.city.companies import Companies, found
from exchange.demo.city.draw import Draw, at, instants
from exchange.demo.city.people import TODAY, People, settle

CHUNK_ROWS = 40_000
ROWS_PER_RESIDENT = 10.5
"""Rows of all registers together per resident; measured on generated cities."""

Columns = dict[str, Any]


@dataclass(frozen=True)
class City:
    """All that the registers are drawn from; the same seed and size give the same city."""

    seed: int
    people: People
    companies: Companies

    @classmethod
    def draw(cls, records: int, seed: int) -> City:
        """A city with about `records` rows in all registers together."""
        count = max(60, round(records / ROWS_PER_RESIDENT))
        people = settle(count, np.random.default_rng([seed, 1]))
        companies = found(people, max(20, count * 8 // 100), np.random.default_rng([seed, 2]))
        return cls(seed, people, companies)

    @property
    def witness(self) -> int:
        """A resident who is in every register in which a working adult can be."""
        return int(self.people.workers[0])

    def sample(self, among: np.ndarray, share: float, salt: int) -> np.ndarray:
        """A share of these residents; the witness is always among them."""
        rng = np.random.default_rng([self.seed, 3, salt])
        return np.union1d(among[rng.random(len(among)) < share], [self.witness])


@dataclass(frozen=True)
class Register:
    """How the rows of one subject are made.

    `who` gives the resident or company that each row is about. `columns` gives the fields of a chunk except the entity,
    `created_at` and the row's `id`, with `updated_at` as datetime64[s].
    """

    subject: str
    entity: str
    who: Callable[[City], np.ndarray]
    columns: Callable[[City, Draw, np.ndarray], Columns]

    def chunks(self, city: City) -> Iterator[Columns]:
        """All rows, in chunks of columns; the row's `id` counts from 1."""
        who = self.who(city)
        rng = np.random.default_rng([city.seed, 4, zlib.crc32(self.subject.encode())])
        names = city.people.ids if self.entity == "resident_id" else city.companies.codes
        for first in range(0, len(who), CHUNK_ROWS):
            part = who[first : first + CHUNK_ROWS]
            draw = Draw(rng, first, len(part))
            columns = self.columns(city, draw, part)
            updated = np.minimum(columns["updated_at"], TODAY.astype("datetime64[s]"))
            created = updated - draw.whole(0, 30 * 86_400)
            yield {
                "id": (draw.row + 1).tolist(),
                self.entity: at(names, part),
                **columns,
                "updated_at": instants(updated),
                "created_at": instants(created),
            }


def moment(draw: Draw, day: np.ndarray) -> np.ndarray:
    """A second within that day's working hours, as datetime64[s]."""
    moments: np.ndarray = day.astype("datetime64[s]") + draw.whole(9 * 3600, 18 * 3600)
    return moments
