"""The commands ``palletjack prune`` and ``palletjack quantize``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer


def prune(
    checkpoint: Annotated[Path, typer.Option(help="weights.pt, a snapshot, or a checkpoint.")],
    out: Annotated[Path, typer.Option(help="Weights file to write.")],
    method: Annotated[
        Literal["dependency", "tao"], typer.Option(help="Rank dependent channels together, or TAO's rule.")
    ] = "dependency",
    macs: Annotated[
        float | None, typer.Option(help="Share of the multiply-accumulates to keep.", min=0.01, max=1)
    ] = None,
    time: Annotated[
        float | None,
        typer.Option(
            help="Share of the INT8 graph's processor time to keep (EfficientNet).",
            min=0.01,
            max=1,
        ),
    ] = None,
    latency_ms: Annotated[
        float | None,
        typer.Option(help="Milliseconds per image in ONNX Runtime (FP32, 2 threads) here.", min=0),
    ] = None,
    scope: Annotated[
        Literal["global", "uniform"],
        typer.Option(help="Rank all layers together, or cut each by the same share."),
    ] = "global",
    images: Annotated[
        Path | None,
        typer.Option(help="Folder of images: rank channels by what they do there, not by their weights."),
    ] = None,
    frames: Annotated[int, typer.Option(help="Images to take, spread over the folder.", min=1)] = 16,
    threshold: Annotated[
        float,
        typer.Option("--threshold", "-pth", help="TAO: keep filters above this share of the largest.", min=0),
    ] = 0.1,
    granularity: Annotated[
        int, typer.Option("--granularity", "-pg", help="TAO: channels in steps of.", min=1)
    ] = 8,
    minimum: Annotated[int, typer.Option("--minimum", "-nf", help="TAO: keep at least so many.", min=1)] = 16,
    equalization: Annotated[
        Literal["union", "intersection", "arithmetic_mean", "geometric_mean"],
        typer.Option("--equalization", "-eq", help="TAO: how layers that share channels agree."),
    ] = "union",
) -> None:
    """Remove channels from trained weights; train on with `palletjack train --initial OUT` afterwards.

    Writes OUT and, beside it, OUT with .json: parameters, MACs, file size and the channels of each layer.

    Example: `palletjack prune --checkpoint out/run/weights.pt --out out/pruned.pt --macs 0.5`
    """
    from palletjack_detection.image_files import ImageFileError, list_images
    from palletjack_training.compression.dependency_pruning import PruningError
    from palletjack_training.compression.post_training import evenly
    from palletjack_training.compression.prune import (
        PruneRequest,
        channel_table,
        prune_weights,
        summary_line,
        write_report,
    )
    from palletjack_training.compression.tao_pruning import TaoRule
    from palletjack_training.weights_file import WeightsError

    rule = TaoRule(threshold, granularity, minimum, equalization)
    try:
        chosen = () if images is None else tuple(evenly(list_images(images), frames))
        request = PruneRequest(method, macs, time, latency_ms, scope, chosen, rule)
        result = prune_weights(checkpoint, out, request)
        write_report(result, out.with_suffix(".json"))
    except (WeightsError, PruningError, ImageFileError, OSError) as error:
        _fail(error)
    typer.echo(channel_table(result))
    typer.echo(f"{out}: {summary_line(result)}")


def quantize(
    checkpoint: Annotated[Path, typer.Option(help="weights.pt, a snapshot, or a checkpoint.")],
    images: Annotated[Path, typer.Option(help="Folder of images to measure ranges on.")],
    out: Annotated[Path, typer.Option(help="Weights file to write.")],
    frames: Annotated[int, typer.Option(help="Images to take, spread over the folder.", min=1)] = 256,
    calibration: Annotated[
        Literal["percentile", "max"], typer.Option(help="How a range comes from what was seen.")
    ] = "percentile",
    percentile: Annotated[
        float, typer.Option(help="Share of the values within the range, in percent.", min=50.001, max=100)
    ] = 99.99,
    keep_float: Annotated[
        list[str] | None, typer.Option(help="Layer that keeps its kernel; may be given again.")
    ] = None,
) -> None:
    """Quantize trained weights without training (PTQ). `palletjack train --qat` loses less.

    Example: `palletjack quantize --checkpoint out/pruned.pt --images out/train/images --out out/ptq.pt`
    """
    from palletjack_detection.image_files import ImageFileError, list_images
    from palletjack_training.compression.post_training import evenly, quantize_weights
    from palletjack_training.compression.rounding import QuantizationError
    from palletjack_training.config import QuantizationConfig
    from palletjack_training.weights_file import WeightsError

    settings = QuantizationConfig(calibration_frames=frames, calibration=calibration, percentile=percentile)  # type: ignore[call-arg]
    if keep_float is not None:
        settings = settings.model_copy(update={"keep_float": tuple(keep_float)})
    try:
        quantize_weights(checkpoint, evenly(list_images(images), frames), out, settings, typer.echo)
    except (WeightsError, QuantizationError, ImageFileError, OSError) as error:
        _fail(error)
    typer.echo(f"{out}: quantized")


def _fail(error: Exception) -> Any:
    typer.echo(f"error: {error}", err=True)
    raise typer.Exit(1) from error
