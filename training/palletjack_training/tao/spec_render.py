"""A training configuration as the spec files of TAO DetectNet_v2.

Everything that TAO has a field for is carried over. What it has none for is said in the comment above the
spec where training goes on without it, and refused where the result would be another network.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from palletjack_sdg.whole_file import write_whole
from palletjack_training.config import TrainingConfig
from palletjack_training.tao.data_survey import DataSurvey, fold_sizes
from palletjack_training.tao.schema import (
    CONVERSION,
    EXPERIMENT,
    INFERENCE,
    SpecError,
    message_class,
    write_text,
)

DATA, RESULTS, SPECS = "/data", "/results", "/specs"
"""Where the chain mounts the data set, the work folder and the specs in the container."""
TFRECORDS = f"{RESULTS}/dataset_convert/frames"
MANIFEST = "tao.json"
NUM_PARTITIONS, MOST_SHARDS = 2, 10
ADAM = {"epsilon": 1e-8, "beta1": 0.9, "beta2": 0.999}
COST_SCALING = {"initial_exponent": 20.0, "increment": 0.005, "decrement": 1.0}
_LAYERS = {"resnet18": 18, "resnet34": 34}


@dataclass(frozen=True)
class Plan:
    """What follows from the number of images: percent to validate on, shards, batch size, epochs."""

    training: int
    validation: int
    val_split: int
    num_shards: int
    batch_size: int
    epochs: int

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps of one epoch on one GPU."""
        return math.ceil(self.training / self.batch_size)


def plan_training(config: TrainingConfig, images: int) -> Plan:
    """Choose folds and epochs so that no shard is empty and validation has at least one batch.

    Raises:
        SpecError: there are too few images for any such choice.
    """
    val_split = max(1, round(100 * config.trainer.validation_share))
    while val_split < 50 and fold_sizes(images, val_split)[1] < min(config.trainer.batch_size, images // 4):
        val_split += 1
    training, validation = fold_sizes(images, val_split)
    batch_size = min(config.trainer.batch_size, validation)
    if batch_size < 1 or images < 8:
        raise SpecError(f"--data: expected at least 8 images to split and to shard, found {images}")
    epochs = max(1, round(config.trainer.steps / math.ceil(training / batch_size)))
    return Plan(training, validation, val_split, min(MOST_SHARDS, training, validation), batch_size, epochs)


def check_renders(config: TrainingConfig) -> None:
    """Refuse a configuration whose network or targets TAO does not have.

    Raises:
        SpecError: naming the field, what TAO has and what was found.
    """
    targets, loss = config.targets, config.loss
    refusals = [
        ("network.architecture", " or ".join(_LAYERS), config.network.architecture in _LAYERS),
        ("targets.stride", "16", targets.stride == 16),
        ("targets.bbox_min_radius", "at most 1", targets.bbox_min_radius <= 1),
        ("loss.kind", "tao", loss.kind == "tao"),
        ("loss.positive_coverage", "0.5", loss.positive_coverage == 0.5),
        ("export.min_samples", "at most 1", config.export.min_samples <= 1),
    ]
    for path, expected, ok in refusals:
        if not ok:
            section, name = path.split(".")
            found = getattr(getattr(config, section), name)
            raise SpecError(f"{config.name}: {path}: TAO has {expected} only, found {found!r}")
    for name in config.classes:
        if name != name.lower():
            raise SpecError(f"{config.name}: classes: TAO's converter lower-cases names, found {name!r}")


def unmapped(config: TrainingConfig) -> list[str]:
    """What the configuration asks for and TAO has no field for, one sentence each."""
    trainer, geometry, colour = config.trainer, config.augment.geometry, config.augment.colour
    said = [
        (
            trainer.weight_decay > 0,
            f"trainer.weight_decay {trainer.weight_decay:g}: TAO's Adam decays nothing",
        ),
        (trainer.gradient_clip > 0, f"trainer.gradient_clip {trainer.gradient_clip:g}: TAO does not clip"),
        (trainer.ema_decay > 0, f"trainer.ema_decay {trainer.ema_decay:g}: TAO keeps no average of weights"),
        (
            config.schedule.kind == "cosine",
            "schedule.kind cosine: TAO has soft start, plateau and annealing; the same ends are used",
        ),
        (
            config.input.resize == "letterbox",
            "input.resize letterbox: TAO stretches images of another size",
        ),
        (
            config.network.weights not in ("none", ""),
            f"network.weights {Path(config.network.weights).name}: set model_config.pretrained_model_file",
        ),
        (config.export.score == "max", "export.score max: TAO's confidence is the sum of coverage"),
        (
            config.export.score == "mean",
            "export.score mean: TAO's confidence is the sum of coverage; thresholds differ in meaning",
        ),
        (
            bool(config.background_classes),
            "background_classes: left out of target_class_mapping, which TAO takes as background",
        ),
    ]
    if config.augment.enabled:
        absent = [
            f"geometry.{name}"
            for name in ("aspect", "perspective", "mosaic", "identity")
            if getattr(geometry, name)
        ] + [
            f"colour.{name}"
            for name in (
                "gamma",
                "white_balance",
                "channel_swap",
                "grayscale",
                "blur",
                "downscale",
                "noise",
                "cutout",
                "jpeg",
            )
            if getattr(colour, name)
        ]
        said.append((bool(absent), f"augment: TAO has no {', '.join(absent)}"))
    return [text for applies, text in said if applies]


def conversion_message(config: TrainingConfig, plan: Plan, extension: str, version: str) -> Any:
    """The spec of ``dataset_convert``."""
    message = message_class(version, CONVERSION)()
    kitti = message.kitti_config
    kitti.root_directory_path = DATA
    kitti.image_dir_name, kitti.label_dir_name = "images", "labels"
    # The converter appends it to the bare name, so it needs its dot; dataset_config has it without.
    kitti.image_extension = f".{extension}"
    kitti.partition_mode = "random"
    kitti.num_partitions, kitti.num_shards = NUM_PARTITIONS, plan.num_shards
    kitti.val_split = plan.val_split
    message.image_directory_path = DATA
    return message


def experiment_message(
    config: TrainingConfig, plan: Plan, extension: str, version: str, *, resize: bool
) -> Any:
    """The spec of ``train`` and ``evaluate``; ``resize`` where images are not of the network's size."""
    message = message_class(version, EXPERIMENT)()
    message.random_seed = config.trainer.seed or 42
    _set_dataset(message.dataset_config, config, extension)
    _set_augmentation(message.augmentation_config, config, resize)
    _set_postprocessing(message.postprocessing_config, config, version)
    _set_model(message.model_config, config)
    _set_evaluation(message.evaluation_config, config, plan)
    _set_cost(message.cost_function_config, config)
    _set_training(message.training_config, config, plan)
    _set_rasterizer(message.bbox_rasterizer_config, config)
    return message


def retrain_message(experiment: Any, *, qat: bool) -> Any:
    """The experiment, started from the pruned graph; ``qat`` with fake quantization."""
    message = type(experiment)()
    message.CopyFrom(experiment)
    message.model_config.pretrained_model_file = f"{RESULTS}/prune/pruned.hdf5"
    message.model_config.load_graph = True
    message.training_config.enable_qat = qat
    return message


def inference_message(config: TrainingConfig, experiment: Any, version: str, model: str) -> Any:
    """The spec of ``inference`` with the weights ``model`` (a path in the container)."""
    message = message_class(version, INFERENCE)()
    inferencer, handler = message.inferencer_config, message.bbox_handler_config
    inferencer.target_classes.extend(config.classes)
    inferencer.image_width, inferencer.image_height = config.input.width, config.input.height
    inferencer.image_channels, inferencer.batch_size = 3, 4
    inferencer.tlt_config.model = model
    handler.kitti_dump, handler.overlay_linewidth = True, 2
    for name in config.classes:
        entry = handler.classwise_bbox_handler_config[name]
        entry.confidence_model, entry.output_map = "aggregate_cov", name
        entry.bbox_color.G = 255
        clustering = experiment.postprocessing_config.target_class_config[name].clustering_config
        entry.clustering_config.CopyFrom(clustering)
    return message


def render_specs(config: TrainingConfig, data: DataSurvey, version: str) -> dict[str, str]:
    """All files of a spec folder by name, the manifest included.

    Raises:
        SpecError: the configuration or the data set cannot be brought to TAO.
    """
    check_renders(config)
    extension = _one_extension(data)
    plan = plan_training(config, data.images)
    size = (config.input.width, config.input.height)
    experiment = experiment_message(config, plan, extension, version, resize=set(data.sizes) != {size})
    suffix = "tlt" if version == "4.0" else "hdf5"
    retrain, qat = retrain_message(experiment, qat=False), retrain_message(experiment, qat=True)
    if version == "4.0":
        for message in (retrain, qat):
            message.model_config.pretrained_model_file = f"{RESULTS}/prune/pruned.tlt"
    model = f"{RESULTS}/retrain_qat/weights/model.{suffix}"
    head = [f"{config.name} for TAO {version}, DetectNet_v2", ""]
    notes = ["Not carried over:", *(f"- {line}" for line in unmapped(config)), ""]
    images = f"{data.images} images: {plan.training} to train on, {plan.validation} to validate on"
    files = {
        "convert.txt": write_text(conversion_message(config, plan, extension, version), [*head, images]),
        "train.txt": write_text(experiment, [*head, images, *notes]),
        "retrain.txt": write_text(retrain, [*head, "After pruning."]),
        "retrain_qat.txt": write_text(qat, [*head, "After pruning, with quantization-aware training."]),
        "evaluate.txt": write_text(qat, [*head, "Evaluation of the retrained weights."]),
        "inference.txt": write_text(inference_message(config, experiment, version, model), head),
    }
    manifest = {
        "version": version,
        "classes": list(config.classes),
        "width": size[0],
        "height": size[1],
        "images": data.images,
        "steps_per_epoch": plan.steps_per_epoch,
    }
    return {**files, MANIFEST: json.dumps(manifest, indent=2) + "\n"}


def write_specs(files: dict[str, str], folder: Path) -> None:
    """Write each file whole or not at all; other files of ``folder`` stay."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        write_whole(folder / name, text.encode())


def _one_extension(data: DataSurvey) -> str:
    if len(data.extensions) != 1:
        raise SpecError(
            f"{data.folder}: image_extension: TAO takes one for a data set, found "
            f"{', '.join(sorted(data.extensions))}; `palletjack convert --to tao` needs one kind as well"
        )
    return next(iter(data.extensions)).removeprefix(".")


def _set_dataset(section: Any, config: TrainingConfig, extension: str) -> None:
    # The pattern ends in -fold-*: `*` alone also meets the converter's _warning.json.
    section.data_sources.add(tfrecords_path=f"{TFRECORDS}-fold-*", image_directory_path=DATA)
    section.image_extension = extension
    for name in config.classes:
        section.target_class_mapping[name] = name
    section.validation_fold = 0


def _set_augmentation(section: Any, config: TrainingConfig, resize: bool) -> None:
    preprocessing, spatial, colour = (
        section.preprocessing,
        section.spatial_augmentation,
        section.color_augmentation,
    )
    preprocessing.output_image_width = config.input.width
    preprocessing.output_image_height = config.input.height
    preprocessing.output_image_channel = 3
    if resize:
        preprocessing.enable_auto_resize = True
    spatial.zoom_min = spatial.zoom_max = 1.0
    colour.contrast_center = 0.5
    if not config.augment.enabled:
        return
    ours, hues = config.augment.geometry, config.augment.colour
    spatial.hflip_probability = ours.flip
    # TAO's ratio is that of the area taken to the canvas: above 1 objects shrink, the inverse of ours.
    spatial.zoom_min, spatial.zoom_max = _decimals(1 / ours.zoom[1]), _decimals(1 / ours.zoom[0])
    spatial.translate_max_x = float(round(ours.translate * config.input.width))
    spatial.translate_max_y = float(round(ours.translate * config.input.height))
    spatial.rotate_rad_max = _decimals(math.radians(ours.rotation))
    spatial.rotate_probability = 1.0 if ours.rotation else 0.0
    # The deviation of a uniform range of that half-width.
    colour.color_shift_stddev = _decimals(hues.brightness / math.sqrt(3))
    colour.hue_rotation_max = hues.hue
    colour.saturation_shift_max = min(1.0, hues.saturation)
    colour.contrast_scale_max = hues.contrast


def _set_postprocessing(section: Any, config: TrainingConfig, version: str) -> None:
    export = config.export
    for name in config.classes:
        clustering = section.target_class_config[name].clustering_config
        clustering.coverage_threshold = export.coverage_threshold
        clustering.minimum_bounding_box_height = export.minimum_height
        # TAO's train and evaluate swap these two, its engine tools do not: equal values serve both.
        clustering.dbscan_confidence_threshold = export.score_threshold
        clustering.nms_confidence_threshold = export.score_threshold
        if export.method == "dbscan":
            clustering.dbscan_eps = export.eps
            clustering.dbscan_min_samples = (
                float(export.min_samples) if version == "4.0" else int(export.min_samples)
            )
        else:
            clustering.clustering_algorithm = clustering.NMS
            clustering.nms_iou_threshold = export.iou_threshold


def _set_model(section: Any, config: TrainingConfig) -> None:
    section.arch = "resnet"
    section.num_layers = _LAYERS[config.network.architecture]
    section.use_batch_norm = True
    section.freeze_bn = bool(config.network.freeze_norm)
    section.objective_set.cov.SetInParent()
    section.objective_set.bbox.scale = config.targets.box_scale
    section.objective_set.bbox.offset = config.targets.box_offset


def _set_evaluation(section: Any, config: TrainingConfig, plan: Plan) -> None:
    section.validation_period_during_training = max(1, plan.epochs // 10)
    section.first_validation_epoch = max(1, plan.epochs // 10)
    section.average_precision_mode = section.SAMPLE
    for name in config.classes:
        section.minimum_detection_ground_truth_overlap[name] = 0.5
        box = section.evaluation_box_config[name]
        box.minimum_height, box.minimum_width = max(1, config.export.minimum_height), 1
        box.maximum_height, box.maximum_width = 9999, 9999


def _set_cost(section: Any, config: TrainingConfig) -> None:
    loss = config.loss
    for name in config.classes:
        entry = section.target_classes.add(
            name=name, class_weight=1.0, coverage_foreground_weight=loss.foreground_weight
        )
        entry.objectives.add(name="cov", initial_weight=loss.coverage_initial_weight, weight_target=1.0)
        entry.objectives.add(name="bbox", initial_weight=loss.box_initial_weight, weight_target=1.0)
    section.enable_autoweighting = loss.auto_weighting
    section.max_objective_weight = loss.max_objective_weight
    section.min_objective_weight = loss.min_objective_weight


def _set_training(section: Any, config: TrainingConfig, plan: Plan) -> None:
    schedule = config.schedule
    section.batch_size_per_gpu, section.num_epochs = plan.batch_size, plan.epochs
    section.checkpoint_interval = max(1, plan.epochs // 10)
    rate = section.learning_rate.soft_start_annealing_schedule
    rate.max_learning_rate = schedule.learning_rate
    rate.min_learning_rate = schedule.learning_rate * schedule.final_share
    rate.soft_start = schedule.soft_start if schedule.kind == "tao" else max(schedule.warmup, 0.01)
    rate.annealing = schedule.annealing
    section.regularizer.type, section.regularizer.weight = section.regularizer.L1, config.loss.weight_l1
    for name, value in ADAM.items():
        setattr(section.optimizer.adam, name, value)
    for name, value in COST_SCALING.items():
        setattr(section.cost_scaling, name, value)
    section.cost_scaling.enabled = False
    section.visualizer.enabled = True
    section.visualizer.num_images = 3
    section.visualizer.scalar_logging_frequency = min(10, plan.steps_per_epoch)
    section.visualizer.infrequent_logging_frequency = 1


def _set_rasterizer(section: Any, config: TrainingConfig) -> None:
    targets = config.targets
    for name in config.classes:
        entry = section.target_class_config[name]
        entry.cov_center_x = entry.cov_center_y = 0.5
        entry.cov_radius_x = entry.cov_radius_y = targets.cov_radius
        entry.bbox_min_radius = targets.bbox_min_radius
    section.deadzone_radius = targets.deadzone


def _decimals(value: float) -> float:
    return round(value, 4)
