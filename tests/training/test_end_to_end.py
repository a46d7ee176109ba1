"""The whole route on 200 frames, by the commands that a user gives: `palletjack train` to `build-engine`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest
from typer.testing import CliRunner

pytest.importorskip("torch")
pytest.importorskip("lightning")
pytest.importorskip("modelopt")

from palletjack_cli.main import app
from palletjack_detection.engine import EngineError
from palletjack_detection.engines.api import load_tensorrt
from palletjack_detection.engines.sidecar import sidecar_path
from palletjack_detection.model_folder import load_model_spec, sha256_of
from palletjack_training.weights_file import load_weights


def palletjack(*words: str | Path) -> Any:
    """Give a command, which must succeed; return what it printed."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, f"{words}: {result.output} {result.exception!r}"
    return result


def assert_says_what_it_found(run: Path, summary: dict[str, Any]) -> None:
    """Best weights, pictures of validation and curves of a run that reached its expected numbers."""
    best = load_weights(run / "weights_best.pt")
    assert summary["best_validation"]["ap50"] == best.provenance["validation"]["ap50"] >= 0.85
    assert summary["best_validation"]["step"] == best.provenance["steps"]
    sheet = cv2.imread(str(run / "overlays/validation_000060.png"))
    assert (sheet == (96, 224, 64)).all(-1).sum() > 500, "found boxes are drawn in green"
    assert (sheet == (64, 160, 255)).all(-1).sum() > 100, "objects are drawn in orange"
    events = (next((run / "logs/tensorboard").glob("events*"))).read_bytes()
    assert b"validation" in events
    assert b"PNG" in events


@pytest.mark.long
@pytest.mark.timeout(600)
def test_from_two_hundred_frames_to_an_engine(tmp_path: Path, write_frames: Callable) -> None:
    write_frames(tmp_path / "set", 200)
    write_frames(tmp_path / "held_out", 16, seed=1)
    data = ("--data", tmp_path / "set", "--validation", tmp_path / "held_out", "--config", "smoke")

    def train(name: str, *more: str | Path) -> dict[str, Any]:
        palletjack("train", *data, "--out", tmp_path / name, *more)
        summary: dict[str, Any] = json.loads((tmp_path / name / "summary.json").read_text())
        return summary

    def few_steps(steps: int) -> tuple[str, ...]:
        return ("--set", f"trainer.steps={steps}", "--set", "trainer.validate_every=1000")

    dense = train("dense", "--require-expected")
    assert dense["frames"] == 200
    assert_says_what_it_found(tmp_path / "dense", dense)
    palletjack(
        "prune", "--checkpoint", tmp_path / "dense/weights.pt", "--out", tmp_path / "p.pt", "--macs", "0.7"
    )
    train("tuned", "--initial", tmp_path / "p.pt", *few_steps(20))
    gentle = ("--set", "schedule.learning_rate=0.0003", "--set", "quantization.calibration_frames=16")
    qat = train("qat", "--initial", tmp_path / "tuned/weights.pt", "--qat", *gentle, *few_steps(6))
    assert qat["quantization"] == "trained"
    assert qat["pruning"][0]["macs_kept"] <= 0.7

    for name in ("dense", "qat"):
        palletjack(
            "export", "--checkpoint", tmp_path / f"{name}/weights.pt", "--out", tmp_path / f"{name}_model"
        )
    sizes = {
        "dense": (tmp_path / "dense_model/model.onnx").stat().st_size,
        "pruned": (tmp_path / "qat_model/model.onnx").stat().st_size,
        "int8": (tmp_path / "qat_model/model_int8.onnx").stat().st_size,
    }
    assert sizes["int8"] < 0.5 * sizes["pruned"] < 0.5 * sizes["dense"]
    spec = load_model_spec(tmp_path / "qat_model")
    assert spec.precisions == ("fp32", "int8")

    for model, precision in (("dense", "fp32"), ("qat", "fp32"), ("qat", "int8")):
        words = ("--model", tmp_path / f"{model}_model", "--precision", precision)
        printed = palletjack("evaluate", *words, "--data", tmp_path / "held_out", "--no-report").stdout
        assert json.loads(printed)["ap50"] > 0.8, (model, precision)

    try:
        load_tensorrt("tensorrt_rtx")
    except EngineError as error:
        pytest.skip(f"all but the engine was made: {error}")
    build = ("build-engine", "--model", tmp_path / "qat_model", "--precision", "int8")
    palletjack(*build, "--runtime", "tensorrt_rtx", "--cache", tmp_path / "engines")
    (engine,) = (tmp_path / "engines").glob("*.engine")
    sidecar = json.loads(sidecar_path(engine).read_text())
    assert sidecar["model_sha256"] == sha256_of(tmp_path / "qat_model/model_int8.onnx")
    assert sidecar["precision"] == "int8"
