"""The commands ``palletjack train``, ``palletjack average`` and ``palletjack export``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer


def train(
    data: Annotated[list[Path], typer.Option(help="KITTI folder (images/, labels/); may be given again.")],
    out: Annotated[Path, typer.Option(help="Folder of the run: weights, logs, pictures.")],
    config: Annotated[
        str, typer.Option(help="Shipped configuration by name, or a YAML file.")
    ] = "palletjack_lite",
    validation: Annotated[
        list[Path] | None, typer.Option(help="KITTI folder to validate on; by default a share of --data.")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Override a field, e.g. trainer.batch_size=16.")
    ] = None,
    time_limit: Annotated[
        float | None,
        typer.Option(help="Seconds for the whole command; the learning rate then follows the clock.", min=30),
    ] = None,
    resume: Annotated[bool, typer.Option(help="Go on with the run in --out.")] = False,
    initial: Annotated[
        Path | None,
        typer.Option(help="Start from these weights (a snapshot, a checkpoint or a model folder)."),
    ] = None,
    teacher: Annotated[
        Path | None,
        typer.Option(help="Weights of the network that --initial was pruned from: learn from it as well."),
    ] = None,
    qat: Annotated[
        bool, typer.Option("--qat", help="Train through INT8 rounding; for --initial weights, at a low rate.")
    ] = False,
    cache_dir: Annotated[
        Path | None, typer.Option(help="Where decoded frames go; OUT/cache by default.")
    ] = None,
    require_expected: Annotated[
        bool, typer.Option(help="Fail if a number under `expected` in the configuration is not reached.")
    ] = False,
) -> None:
    """Train a detector on KITTI data sets.

    The run leaves weights.pt (the result), weights_best.pt (the best validation), config.yaml, last.ckpt,
    snapshots/, logs/ (CSV, TensorBoard), overlays/ and summary.json in OUT. At the end it says whether the
    numbers that the configuration expects were reached.

    Example: `palletjack train --data out/frames --out out/run --time-limit 480`
    """
    from palletjack_sdg.kitti import KittiFormatError
    from palletjack_training.compression.rounding import QuantizationError
    from palletjack_training.config import ConfigError, load_config
    from palletjack_training.expected_numbers import compare_with_expected
    from palletjack_training.kitti_cache import DatasetError
    from palletjack_training.module import TrainingError
    from palletjack_training.trainer import RunRequest, run_training
    from palletjack_training.weights_file import WeightsError

    overrides = [*(set_ or ()), *(["quantization.enabled=true"] if qat else [])]
    request = RunRequest(
        data=tuple(data),
        out=out,
        validation=tuple(validation or ()),
        cache_dir=cache_dir,
        time_limit=time_limit,
        resume=resume,
        initial=initial,
        teacher=teacher,
    )
    try:
        settings = load_config(config, overrides)
        summary = run_training(settings, request)
    except (
        ConfigError,
        DatasetError,
        KittiFormatError,
        QuantizationError,
        TrainingError,
        WeightsError,
        OSError,
    ) as error:
        _fail(error)
    typer.echo(json.dumps(summary, indent=2))
    results = compare_with_expected(settings, summary["validation"])
    for result in results:
        typer.echo(str(result), err=True)
    if not require_expected and not all(result.good for result in results):
        typer.echo("what is expected is of the data that the configuration names; yours may differ", err=True)
    if require_expected and not all(result.good for result in results):
        typer.echo("error: --require-expected: an expected number was not reached", err=True)
        raise typer.Exit(1)


def average(
    weights: Annotated[
        list[Path], typer.Option(help="Weights file of a training; given twice or more, each counts alike.")
    ],
    out: Annotated[Path, typer.Option(help="Weights file to write.")],
) -> None:
    """Average the weights of trainings that began alike (a model soup), as after pruning with several seeds.

    Their network, classes, input and pruning have to be the same, and none may be quantized yet.

    Example: `palletjack average --weights out/a/weights.pt --weights out/b/weights.pt --out out/soup.pt`
    """
    from palletjack_training.weight_soup import average_weights
    from palletjack_training.weights_file import WeightsError

    try:
        average_weights(weights, out)
    except (WeightsError, OSError) as error:
        _fail(error)
    typer.echo(f"{out}: the average of {len(weights)} trainings")


def export(
    checkpoint: Annotated[Path, typer.Option(help="weights.pt, a snapshot, or a checkpoint.")],
    out: Annotated[Path, typer.Option(help="Model folder to write.")],
    name: Annotated[
        str | None, typer.Option(help="Name of the model; the configuration's by default.")
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(help="Score threshold of the model; the configuration's by default.", min=0, max=1),
    ] = None,
    metrics: Annotated[
        Path | None, typer.Option(help="JSON file to put under metrics, by the file's name.")
    ] = None,
) -> None:
    """Export trained weights as a model folder (model.onnx, model.json), checked in ONNX Runtime.

    A model in OUT is replaced with all its networks and settings, once the new one is checked.

    Example: `palletjack export --checkpoint out/run/weights.pt --out out/model`
    """
    from palletjack_detection.model_folder import ModelFolderError
    from palletjack_training.export import ExportError, export_model
    from palletjack_training.weights_file import WeightsError, load_weights

    try:
        weights = load_weights(checkpoint)
        result = export_model(
            weights,
            out,
            name or weights.config.name,
            threshold=threshold,
            metrics=None if metrics is None else {metrics.stem: _read_json(metrics)},
        )
    except (WeightsError, ExportError, ModelFolderError, OSError) as error:
        _fail(error)
    for variant, difference in result.variants.items():
        typer.echo(
            f"{out}: {variant}: each layer within {difference.steps:.2f} steps of the trained network's; "
            f"coverage of a made-up picture within {difference.coverage:.1e}"
        )
    typer.echo(
        f"{out}: {result.spec.name}, ONNX Runtime and PyTorch differ by at most "
        f"{result.coverage_difference:.1e} in coverage and {result.box_difference:.1e} in boxes"
    )


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise OSError(f"{path}: expected JSON, found {error}") from error


def _fail(error: Exception) -> Any:
    typer.echo(f"error: {error}", err=True)
    raise typer.Exit(1) from error
