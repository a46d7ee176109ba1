"""Command of the Isaac Sim backend: `palletjack normalize-kitti`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def normalize_kitti(
    source: Annotated[Path, typer.Argument(help="Output folder of Replicator's KittiWriter.")],
    out: Annotated[Path, typer.Option(help="Folder of the new data set.")],
    label: Annotated[
        list[str] | None, typer.Option(help="LABEL=CLASS, may be repeated; default palletjack=palletjack.")
    ] = None,
) -> None:
    """Make a data set (images/, labels/, dataset.json) from KittiWriter v0.0.2 output.

    What that writer does not know (truncation, occlusion, 3D box) becomes KITTI's unknown values.

    Example: `palletjack normalize-kitti out/replicator --out out/frames --label palletjack=palletjack`
    """
    from palletjack_sdg.dataset import DatasetError
    from palletjack_sdg.isaac_sim.kitti_writer import normalize
    from palletjack_sdg.kitti import KittiFormatError

    classes: dict[str, str] = {}
    for entry in label or ["palletjack=palletjack"]:
        name, equals, target = entry.rpartition("=")
        if not equals or not name or not target:
            typer.echo(f"error: --label: expected LABEL=CLASS, found {entry!r}", err=True)
            raise typer.Exit(2)
        classes[name] = target
    try:
        summary = normalize(source, out, classes)
    except (DatasetError, KittiFormatError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    typer.echo(f"{out}: {summary.frames} frames, objects {summary.objects}, left out {summary.unmapped}")
