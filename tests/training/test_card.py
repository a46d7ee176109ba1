"""A model's page is made from model.json, holds its numbers, and leaves a person's words alone."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.detector.tiny_model import paint_rectangle, write_tiny_model
from typer.testing import CliRunner

pytest.importorskip("onnx")

from palletjack_cli.main import app
from palletjack_detection.model_folder import load_model_spec, write_model_folder
from palletjack_sdg.dataset import Dataset, write_manifest
from palletjack_training.card.own_words import BEGIN, END, UNWRITTEN
from palletjack_training.card.page import card_text
from palletjack_training.card.stages import model_stages, stage_text, training_text
from palletjack_training.evaluation.record import measurements

MODELS = Path(__file__).resolve().parents[2] / "models"
SHIPPED = sorted(path.parent for path in MODELS.glob("*/model.json"))
BOX = (100, 60, 180, 200)


def palletjack(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


@pytest.fixture
def model(tmp_path: Path) -> Path:
    source = write_tiny_model(tmp_path / "source", width=320, height=256, coverage=0.4, score_threshold=0.3)
    folder = tmp_path / "model"
    write_model_folder(load_model_spec(source), source / "model.onnx", folder)
    return folder


def change(model: Path, **fields: Any) -> None:
    document = json.loads((model / "model.json").read_text())
    (model / "model.json").write_text(json.dumps({**document, **fields}))


def write_data(folder: Path) -> Path:
    """Two frames with an object each, one of which cannot be seen."""
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    for index, colour in enumerate([(230, 20, 20), (120, 120, 120)]):
        image = np.full((256, 320, 3), 120, np.uint8)
        paint_rectangle(image, BOX, colour)
        Image.fromarray(image).save(folder / "images" / f"{index:06d}.png")
        line = f"palletjack 0 0 0 {' '.join(map(str, BOX))} 1.2 0.5 1.5 0 0 5 0\n"
        (folder / "labels" / f"{index:06d}.txt").write_text(line)
    write_manifest(Dataset(folder, "png"), {"recipe": "warehouse_holdout", "seed": 77})
    return folder


def assert_holds_its_numbers(page: str, model: Path) -> None:
    """Every measurement of model.json stands in the page, in its row."""
    spec = load_model_spec(model)
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    found = list(measurements(spec.metrics))
    assert found
    for name, precision, scores in found:
        counts, intervals = scores["at_threshold"], scores["intervals_95"]
        ap50 = f"{scores['ap50']:.2f} ({intervals['ap50'][0]:.2f} to {intervals['ap50'][1]:.2f})"
        f1 = f"{counts['f1']:.2f} ({intervals['f1'][0]:.2f} to {intervals['f1'][1]:.2f})"
        cells = [f"{scores['boxes']}", ap50, f"{scores['ap50_95']:.2f}"]
        cells += [f"{counts[key]:.2f}" for key in ("precision", "recall")]
        wanted = " | ".join([*cells, f1])
        (row,) = [row for row in rows if f"`{name}`" in row and f"| {precision.upper()}" in row]
        assert wanted in row
        said = f"{counts['tp']} hits, {counts['fp']} false alarms, {counts['fn']} misses"
        assert f"- `{name}`, {precision.upper()}: {said}" in page
    assert f"threshold {spec.score_threshold:g}" in page


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda path: path.name)
def test_a_page_of_each_shipped_model_would_hold_what_model_json_does(folder: Path) -> None:
    spec = load_model_spec(folder)
    page = card_text(spec, folder)
    assert_holds_its_numbers(page, folder)
    assert "6,000 frames of recipe `warehouse_v1`, seed 2026" in page
    assert "400 frames of recipe `warehouse_holdout`, seed 77" in page
    assert f"taught by `palletjack_lite2` (6,000 steps in 481 s, AP50 {0.8512:.2f}" in page
    numbered = [line for line in page.splitlines() if line[:3] in ("1. ", "2. ", "3. ", "4. ")]
    steps = [f"{stage['steps']:,} steps" for stage in model_stages(spec) if "steps" in stage]
    assert len(numbered) == 4
    assert all(text in line for text, line in zip(steps, (numbered[0], *numbered[2:]), strict=True))
    pruning = spec.training["pruning"][0]
    assert f"left are {100 * pruning['parameters_kept']:.0f} % of the parameters" in numbered[1]
    assert "INT8 rounding" in numbered[3]
    assert "in `model_int8_cpu.onnx` the bytes, (N, 544, 960, 4) uint8" in page
    size = (folder / "model_int8.onnx").stat().st_size / 1e6
    assert f"`model_int8.onnx` INT8 for TensorRT, {size:.1f} MB" in page
    # Its own page was written by hand: the command must not touch it.
    before = (folder / "README.md").read_bytes()
    code, said = palletjack("card", "--model", folder)
    assert code == 1
    assert "README.md: expected the line" in said
    assert (folder / "README.md").read_bytes() == before


def test_own_words_survive_to_the_letter_and_all_else_is_made_anew(model: Path) -> None:
    assert palletjack("card", "--model", model)[0] == 0
    page = model / "README.md"
    assert UNWRITTEN in page.read_text()
    assert "Nothing is recorded" in page.read_text()
    words = "\n\nMisses trucks at night - \u00e4lteste zuerst.\n\n## A heading\n\n| a | b |\n\\1 {braces}  \n"
    text = page.read_text().replace(UNWRITTEN, words).replace("# tiny", "# My own title")
    page.write_text(text, encoding="utf-8")
    change(model, score_threshold=0.45)
    assert palletjack("card", "--model", model)[0] == 0
    again = page.read_text(encoding="utf-8")
    assert again.split(BEGIN)[1].split(END)[0] == words
    assert UNWRITTEN not in again
    assert again.startswith("# tiny\n")
    assert "threshold 0.45" in again
    assert palletjack("card", "--model", model)[0] == 0
    assert page.read_text(encoding="utf-8") == again
    assert [path.name for path in model.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("text", ["by hand", f"{END} {BEGIN}", f"{BEGIN}{BEGIN}{END}", f"words {BEGIN} more"])
def test_a_page_without_one_pair_of_marks_is_left_alone(model: Path, text: str) -> None:
    (model / "README.md").write_text(text)
    code, said = palletjack("card", "--model", model)
    assert code == 1
    assert f"{model / 'README.md'}: expected the line" in said
    assert (model / "README.md").read_text() == text


def test_curves_and_failures_of_a_report_come_along(model: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    data, report = write_data(tmp_path / "held out"), tmp_path / "report"
    words = ("--model", model, "--data", data, "--report", report, "--record")
    assert palletjack("evaluate", *words)[0] == 0
    assert palletjack("card", "--model", model, "--report", report)[0] == 0
    page = (model / "README.md").read_text()
    assert_holds_its_numbers(page, model)
    assert "2 images of recipe `warehouse_holdout`, seed 77 (`held out`)" in page
    assert "Missed: the label" in page
    assert "AP50 by height of the object in pixels: from 120: 0.50;" in page
    names = [
        "held out_fp32_f1_threshold.png",
        "held out_fp32_misses.jpg",
        "held out_fp32_precision_recall.png",
    ]
    assert sorted(path.name for path in (model / "card").iterdir()) == names
    for name in names:
        assert f"](card/{name.replace(' ', '%20')})" in page
        with Image.open(model / "card" / name) as picture:
            assert picture.size[0] > 100
    # Without the report the page does not show it, and its pictures go.
    assert palletjack("card", "--model", model)[0] == 0
    assert "Curves" not in (model / "README.md").read_text()
    assert not (model / "card").exists()


def test_a_report_of_something_else_is_refused(model: Path, tmp_path: Path) -> None:
    report = tmp_path / "report"
    report.mkdir()
    scores = {"ap50": 0.5, "data": {"name": "d"}, "ran": {"model": "tiny", "precision": "fp32"}}

    def refused(content: str | None) -> str:
        if content is not None:
            (report / "report.json").write_text(content)
        code, said = palletjack("card", "--model", model, "--report", report)
        assert code == 1
        assert not (model / "README.md").exists()
        return " ".join(said.split())

    assert "report.json: expected a report of palletjack evaluate, found nothing there" in refused(None)
    assert "expected JSON" in refused("{")
    assert "expected data, ran and ap50" in refused(json.dumps({"ap50": 0.5}))
    other = {**scores, "ran": {"model": "another", "precision": "fp32"}}
    assert "ran.model: expected 'tiny', found 'another'" in refused(json.dumps(other))
    change(model, metrics={"d": {"fp32": {**scores, "ap50": 0.75}}})
    assert "ap50: expected 0.750000 as model.json has it, found 0.500000" in refused(json.dumps(scores))


def test_a_model_of_another_origin_has_a_page_too(model: Path) -> None:
    spec = load_model_spec(model)
    assert "says nothing of how" in training_text(spec)
    change(model, training={"trained_with": "NVIDIA TAO DetectNet_v2"}, metrics={"mine": 0.5})
    assert palletjack("card", "--model", model)[0] == 0
    page = (model / "README.md").read_text()
    assert "1. Made with NVIDIA TAO DetectNet_v2" in page
    assert "Nothing is recorded" in page


@pytest.mark.parametrize(
    "fields",
    [
        {"training": {"stage": "train", "steps": 3, "seconds": "many"}},
        {"training": {"steps": 3, "pruning": 0.5}},
        {"metrics": {"d": {"fp32": {"ap50": 0.5}}}},
    ],
)
def test_fields_of_someone_else_are_an_error_of_the_file(model: Path, fields: dict[str, Any]) -> None:
    change(model, **fields)
    code, said = palletjack("card", "--model", model)
    assert code == 1
    assert f"{model / 'model.json'}: training, metrics: expected the fields" in said
    assert not (model / "README.md").exists()


def test_stages_that_are_none_are_left_out(model: Path) -> None:
    change(model, training={"steps": 3, "before": ["x", {"stage": "train", "steps": 2}]})
    assert [stage["steps"] for stage in model_stages(load_model_spec(model))] == [2, 3]
    change(model, training={"steps": 3, "before": "x"})
    assert [stage["steps"] for stage in model_stages(load_model_spec(model))] == [3]


def test_older_descriptions_name_folders_alone(model: Path) -> None:
    change(model, training={"data": ["frames"], "steps": 7, "seconds": 1.5, "pruning": [{"macs_kept": 0.5}]})
    text = training_text(load_model_spec(model))
    assert "- Learned from frames (`frames`)." in text
    assert "1. Trained: 7 steps in 2 s." in text


@pytest.mark.parametrize(
    ("stage", "text"),
    [
        (
            {"stage": "prune", "pruning": [{"method": "tao", "parameters_kept": 0.5, "macs_kept": 0.25}]},
            "Channels pruned by TAO's rule; left are 50 % of the parameters and 25 % of the "
            "multiply-accumulates.",
        ),
        (
            {"stage": "quantize", "frames": 256},
            "Rounded to INT8 without training, with ranges of 256 images.",
        ),
        ({"stage": "average", "averaged": [{}, {}]}, "Averaged: 2 trainings."),
        (
            {"stage": "train", "config": "a", "steps": 1200, "teacher": "t.pt"},
            "Trained as `a`: 1,200 steps; taught by `t.pt`.",
        ),
        ({"stage": "carved"}, "`carved`."),
    ],
)
def test_each_kind_of_stage_has_its_sentence(stage: dict[str, Any], text: str) -> None:
    assert stage_text(stage) == text


@pytest.mark.long
@pytest.mark.render
@pytest.mark.timeout(1500)
def test_a_model_out_of_the_pipeline_describes_and_measures_itself(tmp_path: Path) -> None:
    """The smoke profile with fewer steps: nothing is added to model.json by hand."""
    for package in ("mitsuba", "lightning", "torch_pruning", "modelopt", "matplotlib"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    options = ["frames.frames=4", "held_out.frames=2", "prune.macs=0.9"]
    options += [f"{stage}.set=trainer.steps=2" for stage in ("train", "finetune", "qat")]
    words = [word for option in options for word in ("--option", option)]
    command = ("pipeline", "--profile", "smoke", "--out", tmp_path / "out", "--workers", "1", *words)
    code, said = palletjack(*command)
    assert code == 0, said
    model = tmp_path / "out/model"
    spec = load_model_spec(model)
    assert [stage["stage"] for stage in model_stages(spec)] == ["train", "prune", "train", "train"]
    (frames,), (held_out,) = spec.training["data"], spec.training["validation_data"]
    assert (frames["recipe"], frames["seed"], frames["frames"]) == ("warehouse_v1", 11, 4)
    assert (held_out["recipe"], held_out["seed"], held_out["frames"]) == ("warehouse_holdout", 77, 2)
    ((name, _, scores),) = measurements(spec.metrics)
    assert (name, scores["data"]) == ("held_out", held_out)
    page = (model / "README.md").read_text()
    assert "4 frames of recipe `warehouse_v1`, seed 11" in page
    assert_holds_its_numbers(page, model)
