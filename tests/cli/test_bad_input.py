"""Bad input, given to `palletjack` itself: one line that names it, an exit code that is not 0, nothing lost.

The causes are tested one by one beside the code that finds them; here is what a user sees of them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import resources
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.detector.tiny_model import write_tiny_model


def call(*words: object) -> subprocess.CompletedProcess[str]:
    """Run `palletjack` as a user does: in a process of its own, whose traceback would be seen."""
    command = [sys.executable, "-m", "palletjack_cli.main", *map(str, words)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, env={**os.environ, "COLUMNS": "200"}
    )


def refused(done: subprocess.CompletedProcess[str], words: str) -> None:
    assert done.returncode not in (0, None), done.stdout
    assert done.returncode > 0, f"ended by signal {-done.returncode}"
    assert words in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("a.png", "b.png", "c.jpg"):
        noise = np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8)
        cv2.imwrite(str(folder / name), noise)
    return folder


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """Return a file of an earlier run, which a failed one must leave as it is."""
    path = tmp_path / "predictions.json"
    path.write_text("earlier")
    return path


def test_an_unknown_recipe_key_is_named(tmp_path: Path) -> None:
    shipped = resources.files("palletjack_sdg") / "recipes" / "warehouse_v1.yaml"
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(shipped.read_text(encoding="utf-8") + "\nwheather: rain\n")
    out = tmp_path / "frames"
    refused(call("generate", "--recipe", recipe, "--frames", 1, "--out", out), "wheather")
    assert not out.exists()


def test_a_truncated_image_is_named_and_the_others_are_answered(tmp_path: Path, images: Path) -> None:
    whole = (images / "b.png").read_bytes()
    (images / "b.png").write_bytes(whole[: len(whole) // 2])
    out = tmp_path / "out.json"
    model = write_tiny_model(tmp_path / "model", width=128, height=96)
    done = call("predict", "--model", model, "--images", images, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "b.png: expected a complete image" in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(json.loads(out.read_text())) == ["a.png", "c.jpg"]


def test_a_model_folder_without_its_json_is_named(tmp_path: Path, images: Path, earlier: Path) -> None:
    model = write_tiny_model(tmp_path / "model", width=128, height=96)
    (model / "model.json").unlink()
    done = call("predict", "--model", model, "--images", images, "--out", earlier)
    refused(done, "model.json: expected the model's description, found nothing")
    assert earlier.read_text() == "earlier"


def test_other_tensor_names_are_named(tmp_path: Path, images: Path, earlier: Path) -> None:
    # The tiny model's model.json carries the checksum of this network, so that its names are looked at.
    model = write_tiny_model(tmp_path / "model", width=128, height=96, coverage_name="cov", boxes_name="box")
    done = call("predict", "--model", model, "--images", images, "--out", earlier)
    refused(done, "output tensors: expected ['output_bbox/BiasAdd:0', 'output_cov/Sigmoid:0'], found ['box'")
    assert earlier.read_text() == "earlier"


@pytest.mark.parametrize("damage", ["json", "tensors"])
def test_the_closed_loop_refuses_the_same_models(tmp_path: Path, damage: str) -> None:
    names = {"coverage_name": "cov", "boxes_name": "box"} if damage == "tensors" else {}
    model = write_tiny_model(tmp_path / "model", width=128, height=96, **names)  # type: ignore[arg-type]
    if damage == "json":
        (model / "model.json").unlink()
    done = call("simulate", "head_on", "--graph", "direct", "--model", model, "--out", tmp_path / "out")
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    said = done.stdout.strip()  # where the verdict "error" and its reason go
    assert ("model.json" if damage == "json" else "output tensors: expected") in said
