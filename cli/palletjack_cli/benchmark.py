"""`palletjack benchmark`: run one of the scripts in benchmarks/ with its own options."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import Annotated

import typer

from palletjack_cli.repository import repository_root


def benchmark(
    name: Annotated[str, typer.Argument(help="Which benchmark; leave it out to list them.")] = "",
    options: Annotated[list[str] | None, typer.Argument(help="Options of the benchmark, after `--`.")] = None,
) -> None:
    """Measure a part of the chain on this machine and write JSON with device, date and commit.

    Example: `palletjack benchmark detector -- --model models/palletjack_lite`
    """
    folder = repository_root() / "benchmarks"
    available = sorted(path.stem for path in folder.glob("*.py"))
    if not name:
        typer.echo("\n".join(available))
        return
    if name not in available:
        raise typer.BadParameter(f"unknown benchmark '{name}'; expected one of: {', '.join(available)}")
    raise typer.Exit(run_to_its_end([sys.executable, str(folder / f"{name}.py"), *(options or [])]))


def run_to_its_end(command: list[str]) -> int:
    """Run ``command``, pass SIGTERM and SIGINT on, and wait: it may have results to write, children to end.

    `subprocess.call` would kill it a quarter of a second after Ctrl-C, and leave it running after SIGTERM.
    """
    process = subprocess.Popen(command)

    def pass_on(signum: int, frame: object) -> None:
        process.send_signal(signum)

    before = {signum: signal.signal(signum, pass_on) for signum in (signal.SIGTERM, signal.SIGINT)}
    try:
        return process.wait()
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
