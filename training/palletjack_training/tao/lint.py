"""`palletjack tao lint`: specs, scripts, mounts files, networks and results against the known traps."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from pathlib import Path

from palletjack_training.tao.data_survey import DataSurvey
from palletjack_training.tao.findings import Finding, Severity
from palletjack_training.tao.lint_commands import lint_script
from palletjack_training.tao.lint_data import lint_data
from palletjack_training.tao.lint_mounts import lint_mounts
from palletjack_training.tao.lint_spec import lint_spec, load
from palletjack_training.tao.schema import EXPERIMENT, Spec
from palletjack_training.tao.status_file import read_status


def lint(paths: Sequence[Path], version: str, data: DataSurvey | None = None, gpus: int = 1) -> list[Finding]:
    """Look at each file by what it is: .sh, .onnx, status.json, ...mounts.json, or a spec; the worst first.

    Raises:
        OSError: a file cannot be read.
    """
    findings: list[Finding] = []
    specs: list[Spec] = []
    for path in paths:
        if path.suffix == ".sh":
            findings += lint_script(path, version)
        elif path.suffix == ".onnx":
            findings += _network(path)
        elif path.name == "status.json":
            findings += _result(path)
        elif path.name.endswith("mounts.json"):
            findings += lint_mounts(path)
        elif path.suffix != ".json":
            spec, found = load(path, version)
            findings += found
            if spec is not None:
                specs.append(spec)
                findings += lint_spec(spec)
                findings += _shards(spec)
    if data is not None:
        findings += lint_data(data, specs, gpus)
    return sorted(findings, key=lambda finding: -finding.trap.severity)


def worst(findings: Sequence[Finding]) -> Severity | None:
    """The worst severity, None without findings."""
    return max((finding.trap.severity for finding in findings), default=None)


def _network(path: Path) -> Iterator[Finding]:
    from palletjack_training.tao.onnx_route import keras2onnx_signs, load_graph

    signs = keras2onnx_signs(load_graph(path))
    if signs:
        yield Finding("TAO034", str(path), "; ".join(signs))


def _result(path: Path) -> Iterator[Finding]:
    status = read_status(path)
    if status.verdict != "SUCCESS":
        yield Finding("TAO032", str(path), status.message or status.progress or "no verdict in the file")


def _shards(spec: Spec) -> Iterator[Finding]:
    """Shards that are already there and empty; the path has to be one of this machine."""
    if spec.kind != EXPERIMENT:
        return
    for number, source in enumerate(spec.message.dataset_config.data_sources):
        place = f"{spec.path}:dataset_config.data_sources[{number}].tfrecords_path"
        for file in sorted(glob.glob(source.tfrecords_path)):
            if file.endswith("_warning.json"):
                yield Finding("TAO003", place, file)
            elif Path(file).is_file() and Path(file).stat().st_size == 0:
                yield Finding("TAO004", place, f"{file} is empty")
