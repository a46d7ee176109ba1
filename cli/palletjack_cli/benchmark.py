"""`palletjack benchmark`: run one of the scripts in benchmarks/ with its own options."""

from __future__ import annotations

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
    raise typer.Exit(subprocess.call([sys.executable, str(folder / f"{name}.py"), *(options or [])]))
