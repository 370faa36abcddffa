"""After `warm_up` no kernel is compiled any more, whatever a router meets."""

from __future__ import annotations

import subprocess
import sys

from numba.core.registry import CPUDispatcher

from exchange import names
from exchange.contract.terms import Condition
from exchange.records.scan import scan
from exchange.records.view import compile_view
from exchange.records.warm_up import warm_up
from exchange.router.held import HeldRows
from tests.rigs.copies import GRANTS, Register
from tests.rigs.copies import KEY as ROW_KEY
from tests.rigs.routing import SUBJECT, batch, epoch, grant, route, value
from tests.unit import test_records_filter, test_records_mask

_PROGRAM = "from tests.unit.test_records_warm_up import main; main()"


def compiled() -> set[str]:
    """Every kernel, with the types of arguments that it is compiled for."""
    rooms = [module for name, module in sys.modules.items() if name.startswith("exchange.records.")]
    kernels = {each for room in rooms for each in vars(room).values() if isinstance(each, CPUDispatcher)}
    return {f"{kernel.__name__}{signature}" for kernel in kernels for signature in kernel.signatures}


def keep_copies() -> None:
    """Steps over rows that come, change and go, and the memory of them loaded again."""
    under, register = epoch(*(grant(name, **gives) for name, gives in GRANTS.items()), key=ROW_KEY), Register()
    held = HeldRows(b"")
    changes = [("put", (f"p{i % 9}", i), {"cents": i % 3 - 1, "district": "4401"}) for i in range(2000)]
    changes += [("put", ("p1", 1), {"cents": -1, "district": None}), ("delete", ("p2", 2), {}), ("end", ("p3", 3), {})]
    kept = []
    for _ in range(2):
        made = route(under, [batch([(0, *register.change(change)) for change in changes])], held=held)
        kept += made.inboxes[names.holdings_topic(SUBJECT)]
    held = HeldRows(b"")
    held.load(scan([batch(kept)]))
    route(under, [batch([(0, *register.change(change)) for change in changes])], held=held)


def meet_everything() -> None:
    """Steps over all kinds of views, batches and faults, and every kind of condition and mask."""
    views = [
        grant("whole"),
        grant("some", fields=("id", "cents"), where={"district": {"prefix": "44"}, "year": {"ge": 2024}}),
        grant("pseudonym", fields=("id", "year"), masks={"id": "pseudonym"}),
        grant("partial", fields="all", masks={"district": {"kind": "partial", "first": 2}}),
        grant("limited", fields=("year",), quota={"records_per_day": 1}),
    ]
    records = [(1, b"k", value(), [("h", b"v")]), (2, None, None, []), (3, b"k", b"junk", []), (4, b"k", value(3), [])]
    for codec in (0, 3):
        route(epoch(*views), [batch(records, codec), batch(records, codec, 9)])
        for view in views:
            route(epoch(view), [batch(records, codec)], replay="r-1")
    keep_copies()
    for node, values, operands, operators in test_records_filter.KINDS.values():
        schema = test_records_filter.schema_of(["null", node])
        condition = Condition.model_validate(dict.fromkeys(operators - {"in"}, operands[0]))
        view = compile_view({3: schema}, None, {"x": condition})
        test_records_filter.kept(view, schema, test_records_filter.bodies_of(schema, [*values, None]))
    for mask, node, values, _ in test_records_mask.CASES.values():
        test_records_mask.deliver(*test_records_mask.schemas(["null", node], mask), mask, [*values, None])


def main() -> None:
    """Print what is compiled only after `warm_up`."""
    warm_up()
    before = compiled()
    meet_everything()
    print(*sorted(compiled() - before), sep="\n")


def test_nothing_is_compiled_after_warming_up() -> None:
    said = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True)
    assert said.stdout.split() == []
