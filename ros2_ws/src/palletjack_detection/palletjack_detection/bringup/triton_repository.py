"""A Triton model repository with one model in it.

One for each model: an old model beside it keeps Isaac ROS from loading the right one.
"""

from __future__ import annotations

import os
from pathlib import Path

from palletjack_detection.model_folder import ModelSpec


def triton_config(spec: ModelSpec) -> str:
    """Return config.pbtxt for a TensorRT plan of ``spec`` with batch size 1."""
    rows, columns = spec.grid
    classes = len(spec.classes)
    outputs = ((spec.outputs.coverage, classes), (spec.outputs.boxes, 4 * classes))
    described = ",\n".join(
        f'  {{ name: "{name}" data_type: TYPE_FP32 dims: [ {channels}, {rows}, {columns} ] }}'
        for name, channels in outputs
    )
    given = spec.input
    return (
        f'name: "{spec.name}"\n'
        'platform: "tensorrt_plan"\n'
        "max_batch_size: 1\n"
        f'input [\n  {{ name: "{given.name}" data_type: TYPE_FP32 format: FORMAT_NCHW '
        f"dims: [ 3, {given.height}, {given.width} ] }}\n]\n"
        f"output [\n{described}\n]\n"
        "version_policy: { specific { versions: [ 1 ] } }\n"
    )


def write_triton_repository(spec: ModelSpec, engine: Path, cache: Path) -> Path:
    """Write the repository of ``engine`` under ``cache`` and return its folder. The plan is a link.

    Raises:
        OSError: the folder cannot be written.
    """
    repository = cache / f"triton.{engine.stem}"
    version = repository / spec.name / "1"
    version.mkdir(parents=True, exist_ok=True)
    config = version.parent / "config.pbtxt"
    temporary = config.with_name(f".{config.name}.{os.getpid()}")
    temporary.write_text(triton_config(spec), encoding="utf-8")
    os.replace(temporary, config)
    link = version / f".model.plan.{os.getpid()}"
    link.symlink_to(engine.resolve())
    os.replace(link, version / "model.plan")
    return repository
