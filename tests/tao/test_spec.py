"""Rendered specs: what maps does, what does not is said or refused, and both versions would read them."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

from palletjack_cli.main import app
from palletjack_training.config import load_config
from palletjack_training.tao.data_survey import DataSurvey, fold_sizes, survey
from palletjack_training.tao.lint import lint
from palletjack_training.tao.schema import (
    CONVERSION,
    EXPERIMENT,
    INFERENCE,
    VERSIONS,
    Spec,
    SpecError,
    field_table,
    message_class,
    read_spec,
    spec_kind,
)
from palletjack_training.tao.spec_render import plan_training, render_specs, write_specs

FILES = ["convert.txt", "train.txt", "retrain.txt", "retrain_qat.txt", "evaluate.txt", "inference.txt"]


def facts(images: int = 5000, size: tuple[int, int] = (960, 544)) -> DataSurvey:
    return DataSurvey(
        Path("set"), images, Counter({".jpg": images}), Counter({size: images}), Counter(palletjack=images)
    )


def rendered(
    folder: Path, *overrides: str, version: str = "5.0", data: DataSurvey | None = None
) -> dict[str, Spec]:
    config = load_config("palletjack_resnet18", overrides)
    write_specs(render_specs(config, data or facts(), version), folder)
    return {name: read_spec(folder / name, version) for name in FILES}


def test_the_schemas_differ_in_one_field() -> None:
    old, new = (field_table(version)["messages"] for version in VERSIONS)
    different = [
        (message, field)
        for message in new
        for field in new[message]
        if old[message].get(field) != new[message][field]
    ]
    assert different == [("ClusteringConfig", "dbscan_min_samples")]
    assert old.keys() == new.keys()


@pytest.mark.parametrize("version", VERSIONS)
def test_each_message_has_the_fields_of_the_table(version: str) -> None:
    for name, fields in field_table(version)["messages"].items():
        descriptor = message_class(version, name).DESCRIPTOR
        found = {field.name: field.number for field in descriptor.fields}
        assert found == {field: int(text.split(" ")[0]) for field, text in fields.items()}
        assert len(set(found.values())) == len(found)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_file_is_of_its_kind_and_is_read_back(version: str, tmp_path: Path) -> None:
    specs = rendered(tmp_path, version=version)
    kinds = {name: spec.kind for name, spec in specs.items()}
    assert kinds == {
        "convert.txt": CONVERSION,
        "inference.txt": INFERENCE,
        **dict.fromkeys(["train.txt", "retrain.txt", "retrain_qat.txt", "evaluate.txt"], EXPERIMENT),
    }
    assert not list(tmp_path.glob(".*"))


def test_the_configuration_arrives(tmp_path: Path) -> None:
    config = load_config("palletjack_resnet18")
    message = rendered(tmp_path)["train.txt"].message
    rate = message.training_config.learning_rate.soft_start_annealing_schedule
    assert rate.max_learning_rate == pytest.approx(5e-4)
    assert rate.min_learning_rate == pytest.approx(5e-6)
    assert (rate.soft_start, rate.annealing) == (pytest.approx(0.1), pytest.approx(0.7))
    raster = message.bbox_rasterizer_config
    assert raster.deadzone_radius == pytest.approx(0.4)
    assert raster.target_class_config["palletjack"].cov_radius_x == 1.0
    cost = message.cost_function_config
    assert [(o.name, o.initial_weight) for o in cost.target_classes[0].objectives] == [
        ("cov", 1.0),
        ("bbox", 10.0),
    ]
    assert cost.target_classes[0].coverage_foreground_weight == pytest.approx(0.05)
    assert cost.enable_autoweighting
    assert (message.model_config.arch, message.model_config.num_layers) == ("resnet", 18)
    assert not message.model_config.use_pooling
    bbox = message.model_config.objective_set.bbox
    assert (bbox.scale, bbox.offset) == (35.0, 0.5)
    assert message.training_config.regularizer.weight == pytest.approx(3e-9)
    spatial = message.augmentation_config.spatial_augmentation
    # TAO's zoom above 1 shrinks objects; ours enlarges them.
    assert spatial.zoom_max == pytest.approx(1 / config.augment.geometry.zoom[0], abs=1e-3)
    assert spatial.zoom_min == pytest.approx(1 / config.augment.geometry.zoom[1], abs=1e-3)
    assert spatial.rotate_rad_max == pytest.approx(math.radians(config.augment.geometry.rotation), abs=1e-3)
    clustering = message.postprocessing_config.target_class_config["palletjack"].clustering_config
    assert clustering.dbscan_min_samples == 1
    assert clustering.dbscan_eps == pytest.approx(config.export.eps)
    assert clustering.dbscan_confidence_threshold == clustering.nms_confidence_threshold


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("input.width=640", "augmentation_config.preprocessing.output_image_width", 640),
        ("targets.cov_radius=0.5", "", 0.5),
        ("loss.auto_weighting=false", "cost_function_config.enable_autoweighting", False),
        ("trainer.seed=7", "random_seed", 7),
        ("augment.geometry.flip=0.25", "augmentation_config.spatial_augmentation.hflip_probability", 0.25),
        ("augment.enabled=false", "augmentation_config.spatial_augmentation.zoom_max", 1.0),
        ("network.architecture=resnet34", "model_config.num_layers", 34),
    ],
)
def test_a_changed_field_changes_the_spec(override: str, path: str, value: object, tmp_path: Path) -> None:
    found = rendered(tmp_path, override)["train.txt"].message
    if not path:
        found = found.bbox_rasterizer_config.target_class_config["palletjack"].cov_radius_y
    for name in path.split(".") if path else ():
        found = getattr(found, name)
    assert found == value


def test_retraining_starts_from_the_pruned_graph(tmp_path: Path) -> None:
    specs = rendered(tmp_path)
    plain, qat = specs["retrain.txt"].message, specs["retrain_qat.txt"].message
    assert plain.model_config.load_graph
    assert plain.model_config.pretrained_model_file == "/results/prune/pruned.hdf5"
    assert (plain.training_config.enable_qat, qat.training_config.enable_qat) == (False, True)
    assert not specs["train.txt"].message.model_config.load_graph


def test_version_4_has_its_own_types_and_files(tmp_path: Path) -> None:
    specs = rendered(tmp_path, version="4.0")
    assert "dbscan_min_samples: 1.0" in (tmp_path / "train.txt").read_text()
    assert specs["retrain_qat.txt"].message.model_config.pretrained_model_file.endswith("pruned.tlt")
    with pytest.raises(SpecError, match=r"train\.txt:\d+:\d+ : .*Couldn't parse integer: 1\.0"):
        read_spec(tmp_path / "train.txt", "5.0")


def test_images_of_another_size_are_resized(tmp_path: Path) -> None:
    same = rendered(tmp_path / "a")["train.txt"].message
    other = rendered(tmp_path / "b", data=facts(size=(1280, 720)))["train.txt"].message
    assert not same.augmentation_config.preprocessing.enable_auto_resize
    assert other.augmentation_config.preprocessing.enable_auto_resize


@pytest.mark.parametrize("images", [8, 9, 31, 32, 33, 100, 289, 1000, 5000])
def test_no_number_of_images_walks_into_a_trap(images: int, tmp_path: Path) -> None:
    data = facts(images)
    specs = rendered(tmp_path, data=data)
    assert lint([spec.path for spec in specs.values()], "5.0", data) == []


def test_the_plan_keeps_the_number_of_steps() -> None:
    config = load_config("palletjack_resnet18")
    plan = plan_training(config, 5000)
    assert (plan.training, plan.validation) == fold_sizes(5000, plan.val_split) == (4750, 250)
    assert plan.epochs * plan.steps_per_epoch == pytest.approx(config.trainer.steps, rel=0.02)


def test_what_is_not_carried_over_is_said(tmp_path: Path) -> None:
    rendered(tmp_path, "schedule.kind=cosine")
    text = (tmp_path / "train.txt").read_text()
    for words in ("trainer.ema_decay 0.998", "letterbox", "geometry.mosaic", "schedule.kind cosine"):
        assert words in text
    rendered(tmp_path, "trainer.ema_decay=0", "augment.enabled=false", "input.resize=stretch")
    text = (tmp_path / "train.txt").read_text()
    for words in ("ema_decay", "letterbox", "mosaic", "cosine"):
        assert words not in text


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("loss.kind=focal_giou", r"loss\.kind: TAO has tao only, found 'focal_giou'"),
        ("targets.bbox_min_radius=2.0", r"targets\.bbox_min_radius: TAO has at most 1 only, found 2\.0"),
        ("classes=[PalletJack]", r"classes: TAO's converter lower-cases names, found 'PalletJack'"),
        ("export.min_samples=3", r"export\.min_samples: TAO has at most 1 only, found 3"),
    ],
)
def test_what_tao_cannot_do_is_refused(override: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        render_specs(load_config("palletjack_resnet18", [override]), facts(), "5.0")
    with pytest.raises(SpecError, match=r"network\.architecture: TAO has resnet18 or resnet34 only"):
        render_specs(load_config("palletjack_lite"), facts(), "5.0")
    with pytest.raises(SpecError, match="at least 8 images"):
        render_specs(load_config("palletjack_resnet18"), facts(7), "5.0")


def test_mixed_extensions_are_refused() -> None:
    data = DataSurvey(Path("set"), 20, Counter({".jpg": 10, ".png": 10}), Counter(), Counter())
    with pytest.raises(SpecError, match=r"image_extension: TAO takes one for a data set, found \.jpg, \.png"):
        render_specs(load_config("palletjack_resnet18"), data, "5.0")


def test_the_kind_of_a_text_is_told_by_its_top_level() -> None:
    assert (
        spec_kind('# inferencer_config {\nrandom_seed: 1 model_config { arch: "kitti_config {" }')
        == EXPERIMENT
    )
    assert spec_kind("dataset_export_config { kitti_config { } }") == EXPERIMENT
    assert spec_kind("kitti_config < val_split: 3 >") == CONVERSION
    assert spec_kind("bbox_handler_config { } inferencer_config { }") == INFERENCE


def test_the_command_writes_the_folder(data: Path, tmp_path: Path) -> None:
    words = ["tao", "spec", "--data", str(data), "--out"]
    done = CliRunner().invoke(app, [*words, str(tmp_path / "specs")])
    assert done.exit_code == 0
    assert done.stdout.split() == [str(tmp_path / "specs" / name) for name in [*FILES, "tao.json"]]
    assert survey(data).images == 400
    refused = CliRunner().invoke(app, [*words, str(tmp_path / "lite"), "--config", "palletjack_lite"])
    assert refused.exit_code == 2
    assert "error: palletjack_lite: network.architecture" in refused.output
    assert not (tmp_path / "lite").exists()
