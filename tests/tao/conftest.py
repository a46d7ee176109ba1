"""A data set that TAO would take, the specs for it, and a docker that only pretends."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import pytest
from PIL import Image

from palletjack_training.config import load_config
from palletjack_training.tao.data_survey import DataSurvey, survey
from palletjack_training.tao.lint import lint
from palletjack_training.tao.spec_render import render_specs, write_specs

LABEL = "palletjack 0.00 0 0.0 100 120 400 500 1.2 0.5 1.5 0 0 5 0\n"
FRAMES = 400
CLEAN_SCRIPT = """#!/bin/bash
docker run --rm --gpus all --user 1000:1000 --shm-size=16g -v $PWD:/w \\
  nvcr.io/nvidia/tao/tao-toolkit:5.0.0-tf1.15.5 detectnet_v2 train -e /w/train.txt -r /w/train
grep SUCCESS train/status.json
docker run --rm --gpus all --user 1000:1000 --ipc=host -v $PWD:/w \\
  nvcr.io/nvidia/tao/tao-toolkit:5.0.0-tf1.15.5 detectnet_v2 export \\
  -m /w/m.hdf5 -o /w/m.onnx --onnx_route tf2onnx
tao deploy detectnet_v2 gen_trt_engine -m m.onnx -e train.txt -r out --data_type int8 --cal_json_file cal.json
"""


def codes(paths: list[Path], data: DataSurvey | None = None, version: str = "5.0") -> set[str]:
    """The codes of what the linter finds in ``paths``."""
    return {finding.code for finding in lint(paths, version, data)}


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Frames of 960 x 544 with names in no order. Tests that change it take a copy of their own."""
    return write_data(tmp_path_factory.mktemp("data") / "set", FRAMES)


def write_data(folder: Path, count: int, size: tuple[int, int] = (960, 544)) -> Path:
    """Write ``count`` labelled frames, all links to one image."""
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    source = folder / "one.png"
    Image.new("RGB", size, (90, 90, 90)).save(source, compress_level=1)
    for number in range(count):
        stem = hashlib.sha256(str(number).encode()).hexdigest()[:12]
        os.link(source, folder / "images" / f"{stem}.png")
        (folder / "labels" / f"{stem}.txt").write_text(LABEL)
    return folder


@pytest.fixture
def specs(data: Path, tmp_path: Path) -> Path:
    """The specs of palletjack_resnet18 for ``data``, version 5.0."""
    write_specs(render_specs(load_config("palletjack_resnet18"), survey(data), "5.0"), tmp_path / "specs")
    return tmp_path / "specs"


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the pretended docker on PATH; returns the folder where it records what it was asked."""
    folder, record = tmp_path / "bin", tmp_path / "record"
    folder.mkdir()
    record.mkdir()
    program = folder / "docker"
    source = Path(__file__).with_name("pretended_docker.py")
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "{source}" "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PRETENDED_DOCKER_RECORD", str(record))
    return record
