"""The route from a KITTI folder to an INT8 engine as steps: the image, the flags, what each leaves behind."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from palletjack_training.tao.spec_render import DATA, RESULTS, SPECS, TFRECORDS

TRAIN_IMAGE = "nvcr.io/nvidia/tao/tao-toolkit:5.0.0-tf1.15.5"
"""The one TF1 container of TAO 5.x and 6.x; the launcher never mapped a newer one."""
DEPLOY_IMAGE = "nvcr.io/nvidia/tao/tao-toolkit:6.26.3-deploy"
CHAIN_VERSION = "5.0"
_MODEL = "weights/model.hdf5"


@dataclass(frozen=True)
class ChainOptions:
    """What is free in the chain. ``prune_threshold`` is on a filter's norm over its layer's largest."""

    data: Path
    specs: Path
    work: Path
    gpus: int = 1
    prune_threshold: float = 0.01
    batch_size: int = 1
    train_image: str = TRAIN_IMAGE
    deploy_image: str = DEPLOY_IMAGE


@dataclass(frozen=True)
class Step:
    """One container. ``spec`` is the file it reads, ``outputs`` what it must leave in the work folder.

    ``resumes`` tells that the task goes on from what a stopped run of it left in its folder.
    """

    name: str
    image: str
    arguments: tuple[str, ...]
    spec: str
    outputs: tuple[str, ...]
    reads_data: bool = False
    resumes: bool = False


def chain(options: ChainOptions) -> list[Step]:
    """The eight steps in order. Each writes into the folder of its name in the work folder."""
    trained, pruned = f"{RESULTS}/train/{_MODEL}", f"{RESULTS}/prune/pruned.hdf5"
    retrained, onnx = f"{RESULTS}/retrain_qat/{_MODEL}", f"{RESULTS}/export/model.onnx"
    scales, engine = f"{RESULTS}/export/cal.json", f"{RESULTS}/gen_trt_engine"
    return [
        _step(
            "dataset_convert",
            options.train_image,
            "dataset_convert",
            ("-d", f"{SPECS}/convert.txt", "-o", TFRECORDS, "-r", f"{RESULTS}/dataset_convert"),
            "convert.txt",
            (),
            reads_data=True,
        ),
        _training(options, "train"),
        _evaluation(options, "evaluate", "train.txt", trained),
        _step(
            "prune",
            options.train_image,
            "prune",
            (
                "-m",
                trained,
                "-o",
                pruned,
                "-n",
                "max",
                "-eq",
                "union",
                "-pg",
                "8",
                "-pth",
                f"{options.prune_threshold:g}",
                "--results_dir",
                f"{RESULTS}/prune",
            ),
            "",
            ("prune/pruned.hdf5",),
        ),
        _training(options, "retrain_qat"),
        _evaluation(options, "evaluate_qat", "evaluate.txt", retrained),
        _step(
            "export",
            options.train_image,
            "export",
            (
                "-m",
                retrained,
                "-e",
                f"{SPECS}/retrain_qat.txt",
                "-o",
                onnx,
                "--onnx_route",
                "tf2onnx",
                "--cal_json_file",
                scales,
                "--gen_ds_config",
                "--results_dir",
                f"{RESULTS}/export",
            ),
            "retrain_qat.txt",
            ("export/model.onnx", "export/cal.json"),
        ),
        _step(
            "gen_trt_engine",
            options.deploy_image,
            "gen_trt_engine",
            (
                "-m",
                onnx,
                "-e",
                f"{SPECS}/retrain_qat.txt",
                "--data_type",
                "int8",
                "--cal_json_file",
                scales,
                "--cal_cache_file",
                f"{engine}/cal.bin",
                "--engine_file",
                f"{engine}/model.engine",
                "--min_batch_size",
                "1",
                "--opt_batch_size",
                str(options.batch_size),
                "--max_batch_size",
                str(options.batch_size),
                "-r",
                engine,
            ),
            "retrain_qat.txt",
            ("gen_trt_engine/model.engine", "gen_trt_engine/cal.bin"),
        ),
    ]


def container_name(step: Step, options: ChainOptions) -> str:
    """A name that docker grants once for a step and a work folder."""
    place = hashlib.sha256(str(options.work.resolve()).encode()).hexdigest()[:8]
    return f"palletjack-tao-{step.name}-{place}"


def docker_line(step: Step, options: ChainOptions) -> list[str]:
    """The `docker run` of a step. Files it makes belong to the caller; data and specs are read-only."""
    line = ["docker", "run", "--rm", "--name", container_name(step, options), "--gpus", "all"]
    # The user has no entry in the container's passwd: programs that ask for a name and a home need these two.
    line += ["--user", f"{os.getuid()}:{os.getgid()}", "--env", "HOME=/tmp", "--env", "USER=tao"]
    line += ["--env", "TELEMETRY_OPT_OUT=yes"]
    line += ["--shm-size=16g", "--ulimit", "memlock=-1", "--ulimit", "stack=67108864"]
    line += ["-v", f"{options.specs.resolve()}:{SPECS}:ro", "-v", f"{options.work.resolve()}:{RESULTS}"]
    if step.reads_data:
        line += ["-v", f"{options.data.resolve()}:{DATA}:ro"]
    return [*line, step.image, "detectnet_v2", *step.arguments]


def _training(options: ChainOptions, name: str) -> Step:
    """Train as the spec of that name says, into the folder of that name; a stopped run goes on there."""
    arguments = ("-e", f"{SPECS}/{name}.txt", "-r", f"{RESULTS}/{name}", "-n", "model")
    return _step(
        name,
        options.train_image,
        "train",
        (*arguments, "--gpus", str(options.gpus)),
        f"{name}.txt",
        (f"{name}/{_MODEL}",),
        reads_data=True,
        resumes=True,
    )


def _evaluation(options: ChainOptions, name: str, spec: str, model: str) -> Step:
    arguments = ("-e", f"{SPECS}/{spec}", "-m", model, "-r", f"{RESULTS}/{name}")
    return _step(name, options.train_image, "evaluate", arguments, spec, (), reads_data=True)


def _step(
    name: str,
    image: str,
    task: str,
    arguments: tuple[str, ...],
    spec: str,
    outputs: tuple[str, ...],
    *,
    reads_data: bool = False,
    resumes: bool = False,
) -> Step:
    return Step(name, image, (task, *arguments), spec, outputs, reads_data, resumes)
