"""`exchange demo`, `up`, `down` and `status`: the whole exchange on one machine."""

from __future__ import annotations

import sys

import click
from rich.console import Console

from exchange.broker import LocalBroker, configured
from exchange.demo import summary
from exchange.demo.city_commands import RECORDS, SEED
from exchange.demo.processes import Processes
from exchange.demo.rig import Rig
from exchange.printable import printable
from exchange.settings import Settings

DIFFERS_STATUS = 1
PAPER_WIDTH = 140

_records = click.option("--records", type=click.IntRange(min=1_000), default=RECORDS, show_default=True)
_seed = click.option("--seed", type=int, default=SEED, show_default=True, help="Another seed is another city.")


@click.command()
@_records
@_seed
@click.option("--keep", is_flag=True, help="Leave everything running, as `exchange up` does.")
def demo(records: int, seed: int, keep: bool) -> None:
    """Run the whole exchange once, and show the result.

    Starts what does not run yet, and stops it at the end. After the first delivery the city lives: rows change and are
    deleted, a grant becomes narrower, another is revoked; and departments ask others about households and applicants
    for car quotas. The exit status is 0 only if the ledger balances and every
    reader's database holds exactly what its grants allow then. Safe to run again.
    """
    rig = Rig(Settings(), Console(stderr=True))
    started_broker, started = False, []
    try:
        started_broker = rig.start_broker()
        manifest = rig.make_city(records, seed)
        rig.apply(manifest.life)
        planted = rig.plant()
        started = rig.start_daemons()
        flows = [] if manifest.life else [rig.wait_until_drained(manifest, planted)]
        manifest = rig.live(manifest)
        worked = rig.work_cases()
        flows.append(rig.wait_until_drained(manifest, planted))
        with rig.step("check"), rig.console.status("checking …") as status:
            expectations = rig.expectations(manifest)
            facts = summary.gather(rig.settings, rig.loaded, manifest, planted, expectations, worked, status.update)
        out = Console(width=None if sys.stdout.isatty() else PAPER_WIDTH)
        summary.show(out, rig.loaded, facts, flows)
        _show_addresses(out, rig.processes, keep)
        faults = facts.faults()
        for fault in faults:
            out.print(f"[red]✗ {fault}[/]")
        if not faults:
            out.print("[green]✓ everything is where it belongs, and nothing else is[/]")
    finally:
        if not keep:
            if started:
                rig.stop_daemons(started)
            if started_broker:
                with rig.step("stop") as say:
                    configured(rig.settings).stop()
                    say("broker")
    sys.exit(DIFFERS_STATUS if faults else 0)


@click.command()
@_records
@_seed
def up(records: int, seed: int) -> None:
    """Run the whole exchange until `exchange down`; run it again to restart what has ended."""
    rig = Rig(Settings(), Console(stderr=True))
    rig.start_broker()
    rig.make_city(records, seed)
    rig.apply()
    rig.start_daemons()
    _show_addresses(Console(), rig.processes, True)


@click.command()
def down() -> None:
    """Stop what `exchange up` started; the data stays."""
    settings = Settings()
    processes = Processes(settings.home, settings.metrics_host)
    running = list(processes.running())
    processes.stop(running)
    stopped = LocalBroker(settings.home).stop()
    click.echo(f"{len(running)} daemons {'and the broker ' if stopped else ''}stopped")


@click.command()
def status() -> None:
    """Say what runs, where its metrics are, and how far each source and sink has come.

    Exit status 3 if not everything runs.
    """
    rig = Rig(Settings(), Console(stderr=True))
    running = rig.processes.running()
    console = Console()
    for daemon in rig.daemons:
        found = running.get(daemon.name)
        if found is None:
            console.print(f"[red]✗[/] {daemon.name:28} does not run; log {rig.processes.log(daemon.name)}")
        else:
            is_well, said = rig.processes.health(daemon.name)
            mark = "[green]✓[/]" if is_well else "[yellow]![/]"
            console.print(f"{mark} {daemon.name:28} pid {found.pid:<8} {rig.processes.address(found)}")
            for part, state in said.items():
                if part.startswith(("source ", "sink ")):
                    console.print(f"    {printable(f'{part}: {state}')}", markup=False, highlight=False)
    if len(running) < len(rig.daemons):
        sys.exit(3)


def _show_addresses(console: Console, processes: Processes, stay: bool) -> None:
    addresses = {name: processes.address(found) for name, found in processes.running().items()}
    console.print(f"[bold]Metrics[/]     {'' if stay else 'were '}at", highlight=False)
    for name, address in addresses.items():
        console.print(f"            {address}  {name}", highlight=False)
