"""The command ``palletjack parity``."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer


def parity(
    model: Annotated[Path, typer.Option(help="Model folder.")],
    data: Annotated[
        Path,
        typer.Option(help="annotations.json with images/ beside it, or a KITTI folder (images/, labels/)."),
    ],
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="weights.pt that the model was exported from, to compare with."),
    ] = None,
    node: Annotated[
        Path | None,
        typer.Option(help="predictions.json that the ROS node left for these images (camera:=images)."),
    ] = None,
    node_precision: Annotated[
        str, typer.Option(help="What the node ran in: fp32 or int8; auto: what one on this machine takes.")
    ] = "auto",
    out: Annotated[Path | None, typer.Option(help="JSON file to write.")] = None,
) -> None:
    """Say how far PyTorch, each ONNX file of a model folder, and the ROS node differ on the same images.

    Prints a table: coverage, box edges in pixels, boxes that have no counterpart, AP50 and F1. All are
    compared with PyTorch, or with model.onnx where no checkpoint is given; the node with the file it runs.

    Example: `palletjack parity --checkpoint out/run/weights.pt --model out/model --data out/test`
    """
    from palletjack_detection.engine import EngineError
    from palletjack_training.evaluation.ground_truth import load_ground_truth
    from palletjack_training.evaluation.predictions import read_predictions
    from palletjack_training.parity import compare_forms, table

    try:
        truth = load_ground_truth(data)
        rows = None if node is None else read_predictions(node, truth.images)
        with typer.progressbar(length=len(truth.images), label="Comparing", file=sys.stderr) as bar:
            report = compare_forms(
                checkpoint,
                model,
                truth,
                node_predictions=rows,
                node_precision=node_precision,
                on_image=lambda _: bar.update(1),
            )
        if out is not None:
            out.parent.mkdir(parents=True, exist_ok=True)
            temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
            temporary.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
            os.replace(temporary, out)
    except (ValueError, EngineError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"compared with {report['reference']}; boxes from {report['threshold']:g} up")
    typer.echo(table(report))
