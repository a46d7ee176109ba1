"""`palletjack predict` and `palletjack evaluate` as they are called, and the latency benchmark."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from palletjack_training import evaluation_commands
from tests.detector.tiny_model import paint_rectangle, write_tiny_model

ROOT = Path(__file__).resolve().parents[2]
LOCO = ROOT.parent / "shared" / "loco"
BOX = (100, 60, 180, 200)

app = typer.Typer()
app.command()(evaluation_commands.predict)
app.command()(evaluation_commands.evaluate)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(
        tmp_path_factory.mktemp("tiny"), width=320, height=256, coverage=0.4, score_threshold=0.3
    )


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for name, boxes in (("a.png", [BOX]), ("b.png", []), ("c.jpg", [BOX, (220, 20, 300, 120)])):
        image = np.full((256, 320, 3), 120, np.uint8)
        for box in boxes:
            paint_rectangle(image, box)
        Image.fromarray(image).save(folder / name, quality=95, subsampling=0)
    return folder


def call(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    return result.exit_code, result.stdout, result.stderr


def test_views_are_scored_and_shown_on_the_page(tiny: Path, images: Path, tmp_path: Path) -> None:
    labels = {"images": {"a.png": {"boxes": [{"extents": [list(BOX)]}]}, "b.png": {"boxes": []}}}
    path = images.parent / "annotations.json"
    path.write_text(json.dumps(labels))
    report = tmp_path / "report"
    code, stdout, _ = call("evaluate", "--model", tiny, "--data", path, "--views", "--report", report)
    assert code == 0
    found = json.loads(stdout)["views"]
    assert (found["views"], found["at_threshold"]["tp"]) == (18, 18)
    assert "Over 18 views of each image" in (report / "index.html").read_text()
    code, _, stderr = call("evaluate", "--predictions", path, "--data", path, "--views")
    assert code == 1
    assert "--views: expected --model alone" in stderr


def test_predictions_are_written_in_original_pixels(tiny: Path, images: Path, tmp_path: Path) -> None:
    out, drawn = tmp_path / "out" / "predictions.json", tmp_path / "drawn"
    code, stdout, stderr = call("predict", "--model", tiny, "--images", images, "--out", out, "--draw", drawn)
    assert (code, stderr) == (0, "")
    assert "3 boxes in 3 images" in stdout
    rows = json.loads(out.read_text())
    assert list(rows) == ["a.png", "b.png", "c.jpg"]
    assert rows["b.png"] == []
    assert len(rows["c.jpg"]) == 2
    # Below the model's own threshold too: 0.4 is above 0.05. Pixels of the file, not of the network.
    np.testing.assert_allclose(rows["a.png"], [[*BOX, 0.4]], atol=1e-2)
    assert sorted(p.name for p in drawn.iterdir()) == ["a.png", "b.png", "c.jpg"]
    with Image.open(drawn / "a.png") as picture:
        assert picture.getpixel((BOX[0], BOX[3] - 5)) == (255, 64, 160)


def test_damaged_files_are_reported_and_the_rest_kept(tiny: Path, images: Path, tmp_path: Path) -> None:
    data = (images / "c.jpg").read_bytes()
    (images / "c.jpg").write_bytes(data[: len(data) // 2])
    (images / "d.png").write_bytes(b"")
    out = tmp_path / "predictions.json"
    code, _, stderr = call("predict", "--model", tiny, "--images", images, "--out", out)
    assert code == 0
    assert "c.jpg: expected a complete image" in stderr
    assert "d.png: expected an image, found an empty file" in stderr
    assert "skipped 2 of 4 images" in stderr
    assert list(json.loads(out.read_text())) == ["a.png", "b.png"]


def test_no_readable_image_fails_and_keeps_the_old_file(tiny: Path, images: Path, tmp_path: Path) -> None:
    out = tmp_path / "predictions.json"
    out.write_text("old")
    for path in images.iterdir():
        path.write_bytes(b"x")
    code, _, stderr = call("predict", "--model", tiny, "--images", images, "--out", out)
    assert code == 1
    assert "skipped 3 of 3 images" in stderr
    assert "found none of 3" in stderr
    assert out.read_text() == "old"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"--model": "absent"}, "absent: expected a model folder, found nothing there"),
        ({"--images": "absent"}, "absent: expected a folder of images, found nothing there"),
        ({"--class": "forklift"}, "--class: expected one of palletjack, found 'forklift'"),
        ({"--draw": "IMAGES"}, "--draw: expected another folder than --images"),
        ({"--out": "IMAGES"}, "--out: expected a file to write, found the folder"),
    ],
)
def test_wrong_arguments_end_in_one_clear_line(
    tiny: Path, images: Path, tmp_path: Path, changes: dict[str, str], message: str
) -> None:
    options = {"--model": str(tiny), "--images": str(images), "--out": str(tmp_path / "p.json"), **changes}
    arguments = [v.replace("IMAGES", str(images)) for pair in options.items() for v in pair]
    code, _, stderr = call("predict", *arguments)
    assert code == 1
    assert message in stderr
    assert stderr.count("\n") == 1
    assert not (tmp_path / "p.json").exists()


def test_an_output_below_a_file_is_refused_before_the_first_image(
    tiny: Path, images: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("kept")
    out, drawn = tmp_path / "file" / "p.json", tmp_path / "drawn"
    code, _, stderr = call("predict", "--model", tiny, "--images", images, "--out", out, "--draw", drawn)
    assert code == 1
    assert f"--out: expected a path whose folder can be made, found {tmp_path / 'file'}" in stderr
    assert stderr.count("\n") == 1
    assert not drawn.exists()
    assert (tmp_path / "file").read_text() == "kept"


def write_annotations(folder: Path) -> Path:
    entries = {name: {"boxes": [{"extents": [BOX], "difficult": False}]} for name in ("a.png", "c.jpg")}
    path = folder / "annotations.json"
    path.write_text(json.dumps({"images": {**entries, "b.png": {"boxes": []}}}))
    return path


def test_evaluate_runs_the_model_on_the_annotated_images(tiny: Path, images: Path, tmp_path: Path) -> None:
    path = write_annotations(tmp_path)
    code, stdout, stderr = call("evaluate", "--model", tiny, "--data", path, "--no-report")
    assert (code, stderr) == (0, "")
    found = json.loads(stdout)
    assert (found["images"], found["boxes"]) == (3, 2)
    # The model's own threshold; two hits and the second rectangle of c.jpg, all of equal score.
    counts = found["at_threshold"]
    assert counts == {
        "threshold": 0.3,
        "tp": 2,
        "fp": 1,
        "fn": 0,
        "precision": pytest.approx(2 / 3),
        "recall": 1.0,
        "f1": pytest.approx(0.8),
    }
    assert (
        json.loads(
            call("evaluate", "--model", tiny, "--data", tmp_path, "--threshold", 0.45, "--no-report")[1]
        )["at_threshold"]["tp"]
        == 0
    )


def test_evaluate_and_predict_with_scoring_agree(tiny: Path, images: Path, tmp_path: Path) -> None:
    data, out = write_annotations(tmp_path), tmp_path / "p.json"
    call("predict", "--model", tiny, "--images", images, "--out", out)
    direct = call("evaluate", "--model", tiny, "--data", data, "--no-report")[1]
    from_file = call("evaluate", "--predictions", out, "--data", data, "--threshold", 0.3, "--no-report")
    scores = json.loads(direct)
    ran = scores.pop("ran")
    assert (ran["model"], ran["precision"], ran["backend"]) == ("tiny", "fp32", "onnxruntime")
    assert ran["provider"] == "CPUExecutionProvider"
    assert json.loads(from_file[1]) == scores
    code, _, stderr = call("evaluate", "--data", data)
    assert (code, "expected --model or --predictions, found neither" in stderr) == (1, True)


def test_evaluate_writes_the_report(tiny: Path, images: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    report = tmp_path / "report"
    code, _, _ = call("evaluate", "--model", tiny, "--data", write_annotations(tmp_path), "--report", report)
    assert code == 0
    names = {p.name for p in report.iterdir()}
    assert names == {
        "index.html",
        "frames",
        "report.json",
        "precision_recall.png",
        "f1_threshold.png",
        "hits.png",
        "false_alarms.png",
    }
    low, high = json.loads((report / "report.json").read_text())["intervals_95"]["f1"]
    assert 0 <= low <= 0.8 <= high <= 1


@pytest.mark.skipif(not LOCO.is_dir(), reason="the labelled photos are not beside the repository")
def test_evaluate_prints_what_the_official_score_prints(tiny: Path, tmp_path: Path) -> None:
    """On the real photos; what the red-finder sees there is next to nothing, the counts must agree."""
    out = tmp_path / "predictions.json"
    assert call("predict", "--model", tiny, "--images", LOCO / "images", "--out", out)[0] == 0
    _, stdout, _ = call("evaluate", "--model", tiny, "--data", LOCO / "annotations.json", "--no-report")
    command = [sys.executable, str(LOCO / "score.py"), str(out), "--threshold", "0.3"]
    official = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    printed = json.loads(stdout)
    assert {name: printed[name] for name in official} == official
    assert sum(map(len, json.loads(out.read_text()).values())) > 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--backend", "openvino"], "backend: expected one of auto, onnxruntime, tensorrt, tensorrt_rtx"),
        (["--precision", "int4"], "precision: expected one of fp32, found 'int4'"),
    ],
)
def test_a_backend_or_precision_that_is_not_there_is_named(
    tiny: Path, tmp_path: Path, options: list[str], words: str
) -> None:
    (tmp_path / "images").mkdir()
    Image.new("RGB", (64, 48)).save(tmp_path / "images" / "a.png")
    command = ["predict", "--model", str(tiny), "--images", str(tmp_path / "images")]
    result = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "p.json"), *options])
    assert result.exit_code == 1
    assert words in " ".join(result.output.split())


def test_the_benchmark_reports_every_stage(tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "latency.json"
    command = [
        sys.executable,
        str(ROOT / "benchmarks" / "detector.py"),
        "--model",
        str(tiny),
        "--out",
        str(out),
    ]
    command += ["--size", "320x200", "--frames", "4", "--warmup", "1", "--threads", "1"]
    command += ["--precision", "fp32", "--backend", "onnxruntime"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    document = json.loads(out.read_text())
    assert json.loads(printed) == document
    assert set(document["latency_ms"]) == {"preprocess", "inference", "decode", "total"}
    for stage in document["latency_ms"].values():
        assert 0 < stage["p50"] <= stage["p99"]
    assert (document["frames"], document["threads"], document["images"]) == (4, 1, ["320x200"])
    assert (document["precision"], document["backend"]) == ("fp32", "onnxruntime")
    assert document["device"]
    assert document["commit"]
    assert document["date"].endswith("+00:00")
