"""`palletjack tao`: the route through NVIDIA's TAO containers."""

from __future__ import annotations

import shlex
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(help="Train with NVIDIA TAO's DetectNet_v2 instead: specs, checks, containers, import.")


class Version(str, Enum):
    """Version of TAO's DetectNet_v2; 5.0 is the last one."""

    old = "4.0"
    new = "5.0"


_VersionOption = Annotated[Version, typer.Option("--version", help="Version of TAO's container.")]


@app.command()
def spec(
    data: Annotated[Path, typer.Option(help="KITTI folder (images/, labels/) that will be trained on.")],
    out: Annotated[Path, typer.Option(help="Folder for the spec files.")],
    config: Annotated[
        str, typer.Option(help="Shipped configuration by name, or a YAML file.")
    ] = "palletjack_resnet18",
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Override a field, e.g. trainer.batch_size=16.")
    ] = None,
    version: _VersionOption = Version.new,
) -> None:
    """Write TAO's spec files for a training configuration and a data set.

    What TAO has no field for is said in a comment, or refused. Paths are those in the container of
    `palletjack tao run`: /data, /specs and /results.

    Example: `palletjack tao spec --data out/train_tao --out out/specs`
    """
    from palletjack_training.config import ConfigError, load_config
    from palletjack_training.tao.data_survey import SurveyError, survey
    from palletjack_training.tao.schema import SpecError
    from palletjack_training.tao.spec_render import render_specs, write_specs

    try:
        files = render_specs(load_config(config, set_ or ()), survey(data), version.value)
        write_specs(files, out)
    except (ConfigError, SurveyError, SpecError, OSError) as error:
        _fail(error)
    for name in files:
        typer.echo(str(out / name))


@app.command()
def lint(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="Specs, a folder of them, scripts (.sh), networks (.onnx), status.json or .tao_mounts.json."
        ),
    ],
    data: Annotated[Path | None, typer.Option(help="KITTI folder that the specs are for.")] = None,
    version: _VersionOption = Version.new,
    gpus: Annotated[int, typer.Option(help="GPUs that share the steps of an epoch.", min=1)] = 1,
) -> None:
    """Find what would fail, or mislead, before hours are spent on it.

    Ends with 2 if something is an error, with 1 if the worst is a warning, else with 0.

    Example: `palletjack tao lint out/specs --data out/train_tao`
    """
    from palletjack_training.tao.data_survey import SurveyError, survey
    from palletjack_training.tao.lint import lint as run
    from palletjack_training.tao.lint import worst
    from palletjack_training.tao.onnx_route import RouteError

    try:
        facts = None if data is None else survey(data)
        findings = run(_expanded(files), version.value, facts, gpus)
    except (SurveyError, RouteError, OSError) as error:
        _fail(error)
    for finding in findings:
        typer.echo(str(finding))
    typer.echo(f"{len(findings)} findings", err=True)
    raise typer.Exit(int(worst(findings) or 0))


@app.command()
def run(
    specs: Annotated[Path, typer.Option(help="Folder of `palletjack tao spec`.")],
    data: Annotated[Path, typer.Option(help="KITTI folder (images/, labels/).")],
    work: Annotated[Path, typer.Option(help="Folder for results, logs and the state of the chain.")],
    gpus: Annotated[int, typer.Option(help="GPUs to train on.", min=1)] = 1,
    prune_threshold: Annotated[
        float,
        typer.Option(help="Prune filters with less than this share of the layer's largest norm.", min=0),
    ] = 0.01,
    batch_size: Annotated[int, typer.Option(help="Largest batch of the engine.", min=1)] = 1,
    train_image: Annotated[str, typer.Option(help="Another image than NVIDIA's for training.")] = "",
    deploy_image: Annotated[str, typer.Option(help="Another image than NVIDIA's for the engine.")] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the docker lines and do nothing.")
    ] = False,
) -> None:
    """Convert, train, prune, retrain with QAT, export and build an INT8 engine, each in its container.

    The specs are linted first, and not started with an error. The same command goes on where it stopped. It
    believes status.json, not exit codes. Needs docker, an
    NVIDIA GPU and a login to nvcr.io.

    Example: `palletjack tao run --specs out/specs --data out/train_tao --work out/tao --dry-run`
    """
    from palletjack_training.tao.chain import DEPLOY_IMAGE, TRAIN_IMAGE, ChainOptions, chain, docker_line
    from palletjack_training.tao.runner import ChainError, ChainInterrupted, run_chain

    options = ChainOptions(
        data=data,
        specs=specs,
        work=work,
        gpus=gpus,
        prune_threshold=prune_threshold,
        batch_size=batch_size,
        train_image=train_image or TRAIN_IMAGE,
        deploy_image=deploy_image or DEPLOY_IMAGE,
    )
    steps = chain(options)
    try:
        _check_manifest(specs)
        if dry_run:
            for step in steps:
                typer.echo(shlex.join(docker_line(step, options)))
            return
        _check_specs(specs, data, gpus)
        run_chain(steps, options, lambda line: typer.echo(line, err=True))
    except ChainInterrupted as error:
        typer.echo(f"{error}; the same command goes on from here", err=True)
        raise typer.Exit(130) from None
    except (ChainError, ValueError, OSError) as error:
        _fail(error)
    typer.echo(f"{work}: export/model.onnx, export/cal.json, gen_trt_engine/model.engine")


@app.command("import")
def import_(
    onnx: Annotated[Path, typer.Option(help="model.onnx exported by TAO with --onnx_route tf2onnx.")],
    out: Annotated[Path, typer.Option(help="Model folder to write.")],
    spec: Annotated[
        Path | None, typer.Option(help="Training spec: classes, clustering, box scale and offset.")
    ] = None,
    labels: Annotated[Path | None, typer.Option(help="labels.txt, one class a line (or ;).")] = None,
    cal_json: Annotated[Path | None, typer.Option(help="Tensor scales of a QAT export.")] = None,
    name: Annotated[str, typer.Option(help="Name of the model; the folder's by default.")] = "",
    threshold: Annotated[float, typer.Option(help="Score threshold of the model.", min=0, max=1)] = 0.5,
    version: _VersionOption = Version.new,
) -> None:
    """Make a model folder of a network that TAO exported.

    A keras2onnx export is refused: its padding moves boxes. Choose the threshold with `palletjack evaluate`:
    TAO's own is on the sum of coverage, ours on the mean.

    Example: `palletjack tao import --onnx model.onnx --spec train.txt --cal-json cal.json --out models/mine`
    """
    from palletjack_detection.model_folder import ModelFolderError
    from palletjack_training.tao.import_model import ImportModelError, import_model, spec_classes
    from palletjack_training.tao.onnx_route import RouteError
    from palletjack_training.tao.schema import SpecError, read_spec

    try:
        parsed = None if spec is None else read_spec(spec, version.value)
        if labels is not None:
            classes = tuple(labels.read_text(encoding="utf-8").replace(";", "\n").split())
        elif parsed is not None:
            classes = spec_classes(parsed)
        else:
            raise ImportModelError("expected --labels or --spec for the names of the classes, found neither")
        result = import_model(
            onnx,
            out,
            name=name or out.resolve().name,
            classes=classes,
            threshold=threshold,
            spec=parsed,
            cal_json=cal_json,
        )
    except (ImportModelError, RouteError, SpecError, ModelFolderError, OSError) as error:
        _fail(error)
    if result.other_clustering:
        typer.echo(
            f"{spec}: postprocessing_config: {', '.join(result.other_clustering)} cluster otherwise there; "
            f"a model folder has one clustering, and took that of {result.spec.classes[0]}",
            err=True,
        )
    scales = f", {result.scales} tensor scales in cal.json" if cal_json else ""
    typer.echo(f"{out}: {result.spec.name}, classes {', '.join(result.spec.classes)}{scales}")


def _check_manifest(specs: Path) -> None:
    """Refuse specs of a version that the chain's container does not read."""
    import json

    from palletjack_training.tao.chain import CHAIN_VERSION
    from palletjack_training.tao.spec_render import MANIFEST

    path = specs / MANIFEST
    try:
        version = json.loads(path.read_text(encoding="utf-8"))["version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path}: expected the manifest that `palletjack tao spec` writes, found {error}"
        ) from None
    if version != CHAIN_VERSION:
        raise ValueError(f"{path}: version: the chain runs {CHAIN_VERSION}, found {version}")


def _check_specs(specs: Path, data: Path, gpus: int) -> None:
    """Print what the linter finds, and refuse specs with an error before the first container starts."""
    from palletjack_training.tao.chain import CHAIN_VERSION
    from palletjack_training.tao.data_survey import survey
    from palletjack_training.tao.findings import Severity
    from palletjack_training.tao.lint import lint as find
    from palletjack_training.tao.lint import worst

    findings = find(_expanded([specs]), CHAIN_VERSION, survey(data), gpus)
    for finding in findings:
        typer.echo(str(finding), err=True)
    if worst(findings) == Severity.error:
        raise ValueError(f"{specs}: not started with the errors above")


def _expanded(files: list[Path]) -> list[Path]:
    """Folders as the spec files in them."""
    found: list[Path] = []
    for path in files:
        found += sorted(path.glob("*.txt")) if path.is_dir() else [path]
    return found


def _fail(error: Exception) -> Any:
    typer.echo(f"error: {error}", err=True)
    raise typer.Exit(2) from error
