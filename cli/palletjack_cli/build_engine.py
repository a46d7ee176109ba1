"""`palletjack build-engine`: a TensorRT engine for this machine, or the line that builds it elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def build_engine(
    model: Annotated[Path, typer.Option(help="Model folder (model.onnx and model.json).")],
    precision: Annotated[str, typer.Option(help="auto (the model's own), fp32, fp16 or int8.")] = "auto",
    runtime: Annotated[str, typer.Option(help="tensorrt or tensorrt_rtx.")] = "tensorrt",
    batch: Annotated[str, typer.Option(help="Smallest, usual and largest batch.")] = "1,1,1",
    dla: Annotated[int, typer.Option(help="DLA core of a Jetson; -1: the GPU.")] = -1,
    workspace: Annotated[int, typer.Option(min=1, help="Scratch memory for the builder, MiB.")] = 1024,
    cache: Annotated[
        Path | None, typer.Option(help="Folder of the engines; ~/.cache/palletjack/engines if left out.")
    ] = None,
    timing_cache: Annotated[
        Path | None, typer.Option(help="TensorRT's timings, read and written; in the cache if left out.")
    ] = None,
    command: Annotated[
        str, typer.Option(help="Only print the trtexec line, for this TensorRT version, e.g. 10.3.")
    ] = "",
    script: Annotated[
        Path | None, typer.Option(help="Also write the trtexec line into this file, as a shell script.")
    ] = None,
) -> None:
    """Build the engine of a model with TensorRT's Python API, once for this GPU, version and model.

    Where TensorRT is not installed, the `trtexec` line that builds the same engine is printed, and the
    exit code is 1.

    Example: `palletjack build-engine --model models/palletjack_lite --precision fp16`
    """
    from palletjack_detection.engine import EngineError
    from palletjack_detection.engines.api import load_tensorrt
    from palletjack_detection.engines.build import BuildOptions
    from palletjack_detection.engines.store import EngineRequest, ensure_engine
    from palletjack_detection.model_folder import ModelFolderError

    try:
        options = BuildOptions(batch=_batch(batch), dla=dla, workspace_mib=workspace)
        if command:
            _give_line(_line(model, precision, runtime, options, _version(command), timing_cache), script)
            return
        try:
            library = load_tensorrt(runtime)
        except EngineError as error:
            typer.echo(f"{error}\nOn a machine with {runtime}, this builds it:", err=True)
            _give_line(_line(model, precision, runtime, options, (10, 3), timing_cache), script)
            raise typer.Exit(1) from None
        if precision == "fp16" and not library.has_precision_flags:
            _make_half_precision(model)
        request = EngineRequest(model, precision, options)
        stored = ensure_engine(library, request, cache=cache, timing_cache=timing_cache, say=_say)
    except (EngineError, ModelFolderError, OSError, ValueError) as error:
        typer.secho(f"build-engine: {error}", fg="red", err=True)
        raise typer.Exit(1) from None
    if not stored.identity.gpu:
        typer.echo("built without a GPU: whether one takes it shows only there", err=True)
    typer.echo(
        f"{stored.path} ({'built' if stored.built else 'there already'}, {len(stored.plan) / 1e6:.1f} MB)"
    )


def deepstream_config(
    model: Annotated[Path, typer.Option(help="Model folder (model.onnx and model.json).")],
    precision: Annotated[str, typer.Option(help="auto: every one that the folder holds.")] = "auto",
    out: Annotated[Path | None, typer.Option(help="Folder to write; MODEL/deepstream if left out.")] = None,
) -> None:
    """Write DeepStream's nvinfer configuration and labels for a model, after checking that nvinfer reads it.

    Example: `palletjack deepstream-config --model models/palletjack_lite`
    """
    from palletjack_detection.engine import EngineError
    from palletjack_detection.model_folder import ModelFolderError, load_model_spec
    from palletjack_training.deepstream import DeepStreamError, for_tensorrt, write_deepstream

    try:
        spec = load_model_spec(model)
        chosen = for_tensorrt(spec) if precision == "auto" else (precision,)
        for path in write_deepstream(model, spec, chosen, out or model / "deepstream"):
            typer.echo(f"wrote {path}")
    except (DeepStreamError, EngineError, ModelFolderError, OSError) as error:
        typer.secho(f"deepstream-config: {error}", fg="red", err=True)
        raise typer.Exit(1) from None


def _give_line(line: str, script: Path | None) -> None:
    typer.echo(line)
    if script is not None:
        temporary = script.with_name(f".{script.name}.tmp")
        temporary.write_text(f"#!/bin/sh\n# Run it on the machine that the engine is for.\nset -e\n{line}\n")
        temporary.chmod(0o755)
        temporary.replace(script)
        typer.echo(f"wrote {script}", err=True)


def _line(
    model: Path,
    precision: str,
    runtime: str,
    options: object,
    version: tuple[int, int],
    timing_cache: Path | None,
) -> str:
    from palletjack_detection.engines.build import BuildOptions
    from palletjack_detection.engines.trtexec import trtexec_command, typed_by_onnx
    from palletjack_detection.model_folder import load_model_spec

    assert isinstance(options, BuildOptions)
    spec = load_model_spec(model)
    chosen = spec.precision if precision == "auto" else precision
    if chosen == "fp16" and typed_by_onnx(runtime, version):
        _make_half_precision(model)
        spec = load_model_spec(model)
    engine = Path(f"{spec.name}.{chosen}.engine")
    return trtexec_command(
        model, spec, chosen, options, engine, runtime=runtime, version=version, timing_cache=timing_cache
    )


def _make_half_precision(model: Path) -> None:
    """Libraries that type a network by its ONNX need that file."""
    from palletjack_training.half import add_half_precision

    _say(f"using {add_half_precision(model)}")


def _say(text: str) -> None:
    typer.echo(text, err=True)


def _batch(text: str) -> tuple[int, int, int]:
    try:
        low, usual, high = (int(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"--batch: expected three numbers such as 1,1,4, found {text!r}") from None
    return low, usual, high


def _version(text: str) -> tuple[int, int]:
    parts = text.split(".")
    if not all(part.isdigit() for part in parts) or len(parts) > 4:
        raise ValueError(f"--command: expected a version such as 10.3, found {text!r}")
    return int(parts[0]), int(parts[1]) if len(parts) > 1 else 0
