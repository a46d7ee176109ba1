"""Each trap has a case that the linter catches; what we render has none."""

from __future__ import annotations

import ast
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from typer.testing import CliRunner

from palletjack_cli.main import app
from palletjack_training.tao.data_survey import names_are_ordered, survey
from palletjack_training.tao.findings import TRAPS, Severity
from palletjack_training.tao.lint import lint, worst
from palletjack_training.tao.schema import read_spec
from tests.tao.conftest import CLEAN_SCRIPT, codes, write_data
from tests.tao.networks import write_network

Change = Callable[[Any], None]


def changed(path: Path, change: Change) -> Path:
    """Rewrite a spec with ``change`` applied to its message."""
    message = read_spec(path, "5.0").message
    change(message)
    path.write_text(text_format.MessageToString(message))
    return path


def set_field(dotted: str, value: Any) -> Change:
    def change(message: Any) -> None:
        *parents, leaf = dotted.split(".")
        for name in parents:
            message = getattr(message, name)
        setattr(message, leaf, value)

    return change


def clustering(message: Any) -> Any:
    return message.postprocessing_config.target_class_config["palletjack"].clustering_config


def rename_class(message: Any) -> None:
    message.dataset_config.target_class_mapping.clear()
    message.dataset_config.target_class_mapping["PalletJack"] = "palletjack"


def unknown_class(message: Any) -> None:
    message.dataset_config.target_class_mapping["forklift"] = "palletjack"


def other_section(message: Any) -> None:
    message.cost_function_config.target_classes[0].name = "truck"


def prune_without_graph(message: Any) -> None:
    message.model_config.pretrained_model_file = "/results/pruned.hdf5"


def qat_on_mobilenet(message: Any) -> None:
    message.model_config.arch, message.training_config.enable_qat = "mobilenet_v2", True


def loose_pattern(message: Any) -> None:
    message.dataset_config.data_sources[0].tfrecords_path = "/results/tfrecords/*"


def swapped(message: Any) -> None:
    clustering(message).dbscan_confidence_threshold = 0.9


def too_high(message: Any) -> None:
    clustering(message).dbscan_eps = 1.5


PREPROCESSING = "augmentation_config.preprocessing"
VISUALIZER = "training_config.visualizer"
TRAIN_CASES: dict[str, Change] = {
    "TAO003": loose_pattern,
    "TAO005": set_field(f"{VISUALIZER}.scalar_logging_frequency", 5000),
    "TAO006": set_field(f"{VISUALIZER}.infrequent_logging_frequency", 5000),
    "TAO007": set_field("training_config.batch_size_per_gpu", 256),
    "TAO008": set_field(f"{PREPROCESSING}.output_image_height", 540),
    "TAO009": rename_class,
    "TAO011": set_field(f"{PREPROCESSING}.output_image_width", 1280),
    "TAO015": swapped,
    "TAO016": set_field("evaluation_config.average_precision_mode", 1),
    "TAO017": set_field(f"{PREPROCESSING}.min_bbox_height", 20),
    "TAO023": too_high,
    "TAO024": set_field("augmentation_config.spatial_augmentation.vflip_probability", 0.5),
    "TAO025": prune_without_graph,
    "TAO027": other_section,
    "TAO028": set_field("dataset_config.image_extension", "jpg"),
    "TAO029": set_field("model_config.use_pooling", True),
    "TAO030": unknown_class,
    "TAO031": qat_on_mobilenet,
}


@pytest.mark.parametrize("code", TRAIN_CASES)
def test_a_trap_in_the_training_spec_is_found(code: str, specs: Path, data: Path) -> None:
    paths = [specs / "convert.txt", changed(specs / "train.txt", TRAIN_CASES[code])]
    assert code in codes(paths, survey(data))


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("/r/frames*", True),
        ("/r/*", True),
        ("/r/*-shard-*", False),
        ("/r/frames-fold-00*", False),
        ("/r/fold/*", True),
        ("/r/one", False),
    ],
)
def test_patterns_that_meet_the_warning_file(pattern: str, found: bool, specs: Path) -> None:
    def change(message: Any) -> None:
        message.dataset_config.data_sources[0].tfrecords_path = pattern

    assert ("TAO003" in codes([changed(specs / "train.txt", change)])) is found


def test_what_is_rendered_is_clean(specs: Path, data: Path, tmp_path: Path) -> None:
    script = tmp_path / "run.sh"
    script.write_text(CLEAN_SCRIPT)
    status = tmp_path / "status.json"
    status.write_text('{"status": "SUCCESS", "message": "done"}\n')
    network = write_network(tmp_path / "m.onnx")
    assert lint([*sorted(specs.glob("*.txt")), script, status, network], "5.0", survey(data)) == []


def test_an_unknown_field_names_the_nearest(specs: Path) -> None:
    path = specs / "train.txt"
    path.write_text(path.read_text().replace("deadzone_radius", "dead_zone_radius"))
    (finding,) = lint([path], "5.0")
    assert finding.code == "TAO001"
    assert 'no field named "dead_zone_radius"' in finding.found
    assert "Did you mean 'deadzone_radius'" in finding.found


def test_a_float_where_5_wants_a_whole_number(specs: Path, data: Path) -> None:
    path = specs / "train.txt"
    text = path.read_text().replace("dbscan_min_samples: 1", "dbscan_min_samples: 0.05")
    path.write_text(text.replace("scalar_logging_frequency: 10", "scalar_logging_frequency: 9999"))
    findings = lint([specs / "convert.txt", path], "5.0", survey(data))
    # The rest of the spec is looked at all the same.
    assert {finding.code for finding in findings} == {"TAO002", "TAO005"}
    line = path.read_text().split("dbscan_min_samples")[0].count("\n") + 1
    assert f"train.txt:{line}:" in next(f.place for f in findings if f.code == "TAO002")
    assert "TAO002" not in codes([path], version="4.0")


CONVERSION_CASES: dict[str, Change] = {
    "TAO004": set_field("kitti_config.num_shards", 500),
    "TAO028": set_field("kitti_config.image_extension", "png"),
}


@pytest.mark.parametrize("code", CONVERSION_CASES)
def test_a_trap_in_the_conversion_spec_is_found(code: str, specs: Path, data: Path) -> None:
    assert code in codes([changed(specs / "convert.txt", CONVERSION_CASES[code])], survey(data))


def test_ordered_names_are_found(specs: Path, tmp_path: Path) -> None:
    folder = write_data(tmp_path / "ordered", 30)
    for number, image in enumerate(sorted((folder / "images").iterdir())):
        (folder / "labels" / f"{image.stem}.txt").rename(folder / "labels" / f"{number:06d}.txt")
        image.rename(image.with_name(f"{number:06d}.png"))
    assert "TAO010" in codes([specs / "convert.txt"], survey(folder))
    assert names_are_ordered([f"run_{n:04d}" for n in range(0, 50, 3)])
    assert not names_are_ordered(["a93f", "0c1b", "77de"])
    assert not names_are_ordered(["918273", "000017", "500000"])


def test_empty_shards_and_the_warning_file_on_disk_are_found(specs: Path, tmp_path: Path) -> None:
    shards = tmp_path / "records"
    shards.mkdir()
    (shards / "frames-fold-000-of-002-shard-00000-of-00010").touch()
    (shards / "frames_warning.json").write_text("{}")

    def change(message: Any) -> None:
        message.dataset_config.data_sources[0].tfrecords_path = f"{shards}/frames*"

    findings = lint([changed(specs / "train.txt", change)], "5.0")
    found = {(finding.code, Path(finding.found.split(" ")[0]).name) for finding in findings}
    assert ("TAO004", "frames-fold-000-of-002-shard-00000-of-00010") in found
    assert ("TAO003", "frames_warning.json") in found


@pytest.mark.parametrize(
    ("code", "line"),
    [
        ("TAO012", "palletjack 0 0 0 10 10 50 50 1 1 1 0 0 5\n"),
        ("TAO013", "palletjack 0 0 0 10.1 10 10.9 50 1 1 1 0 0 5 0\n"),
    ],
)
def test_wrong_label_lines_are_found_with_their_place(code: str, line: str, tmp_path: Path) -> None:
    folder = write_data(tmp_path / "set", 8)
    label = sorted((folder / "labels").iterdir())[2]
    label.write_text(label.read_text() + line)
    findings = lint([], "5.0", survey(folder))
    assert [finding.code for finding in findings] == [code]
    assert findings[0].place.startswith(f"{label}:2")


def test_missing_labels_and_broken_images_are_found(tmp_path: Path) -> None:
    folder = write_data(tmp_path / "set", 8)
    label = min((folder / "labels").iterdir())
    label.unlink()
    image = max((folder / "images").iterdir())
    image.unlink()
    image.write_bytes(b"no image")
    places = {finding.place for finding in lint([], "5.0", survey(folder)) if finding.code == "TAO033"}
    assert places == {str(label), str(image)}


def test_unset_logging_counts_as_ten(specs: Path, tmp_path: Path) -> None:
    folder = write_data(tmp_path / "few", 100)
    path = changed(specs / "train.txt", set_field(f"{VISUALIZER}.scalar_logging_frequency", 0))
    assert "TAO005" in codes([specs / "convert.txt", path], survey(folder))


def test_a_confidence_that_can_be_nan_is_found(specs: Path) -> None:
    def change(message: Any) -> None:
        entries = message.bbox_handler_config.classwise_bbox_handler_config
        entries["palletjack"].confidence_model = "mean_cov"

    (finding,) = lint([changed(specs / "inference.txt", change)], "5.0")
    assert finding.code == "TAO035"
    assert finding.place.endswith("classwise_bbox_handler_config[palletjack].confidence_model")


def test_a_failed_status_is_found_whatever_the_exit_code_was(tmp_path: Path) -> None:
    status = tmp_path / "status.json"
    status.write_text('{"status": "STARTED"}\n{"status": "FAILURE", "message": "size"}\n')
    (finding,) = lint([status], "5.0")
    assert (finding.code, finding.found) == ("TAO032", "size")


def test_a_keras2onnx_network_is_found(tmp_path: Path) -> None:
    assert codes([write_network(tmp_path / "k.onnx", keras=True)]) == {"TAO034"}


def test_every_trap_has_a_case() -> None:
    files = [Path(__file__), Path(__file__).with_name("test_lint_commands.py")]
    trees = [ast.parse(file.read_text()) for file in files]
    named = {node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    assert [code for code in TRAPS if code not in named] == []


def test_the_exit_code_is_the_severity(specs: Path, data: Path, tmp_path: Path) -> None:
    words = ["tao", "lint", str(specs), "--data", str(data)]
    assert CliRunner().invoke(app, words).exit_code == 0
    changed(specs / "train.txt", swapped)
    warned = CliRunner().invoke(app, words)
    assert warned.exit_code == 1
    assert "TAO015 warning: " in warned.stdout
    assert "Give both the same value." in warned.stdout
    shutil.copy(specs / "convert.txt", tmp_path / "bad.txt")
    changed(specs / "train.txt", TRAIN_CASES["TAO008"])
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    # The worst stands first.
    assert result.stdout.startswith("TAO008 error: ")
    assert worst([]) is None
    assert worst(lint([specs / "train.txt"], "5.0")) == Severity.error


def test_missing_files_are_named(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["tao", "lint", str(tmp_path / "no.sh")])
    assert result.exit_code == 2
    assert "no.sh" in result.output
    result = CliRunner().invoke(app, ["tao", "lint", str(tmp_path), "--data", str(tmp_path)])
    assert "images: expected a folder of images, found none" in result.output


def test_the_page_lists_the_traps_as_they_are() -> None:
    page = (Path(__file__).parents[2] / "docs" / "tao.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| TAO0")]
    expected = [
        f"| {code} | {trap.severity.name} | {trap.title} | {trap.remedy} |" for code, trap in TRAPS.items()
    ]
    assert rows == expected
