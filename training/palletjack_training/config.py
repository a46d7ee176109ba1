"""The training configuration: a YAML file checked field by field.

A configuration is data only. Every field has a default (of the light network), an unknown
key is refused with its full path and the nearest valid name, and the resolved configuration is
written beside the weights, so that a run can be repeated from its own folder.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from palletjack_training.augment_config import AugmentConfig, Section


class ConfigError(ValueError):
    """A configuration that cannot be used; the message names the file and the field."""


class InputConfig(Section):
    """The network's input: size in pixels and how an image of another size is brought to it."""

    width: int = Field(960, ge=64)
    height: int = Field(544, ge=64)
    resize: Literal["letterbox", "stretch"] = "letterbox"
    padding: Literal["center", "bottom_right"] = "center"
    pad_value: int = Field(0, ge=0, le=255)


class NetworkConfig(Section):
    """Which network, and what it starts from.

    ``weights`` is ``imagenet`` (from the installed weight package), ``none``, or the path of a
    state dict of the backbone. ``freeze_norm`` keeps the backbone's batch normalization (statistics
    and affine) at those weights; ``statistics`` keeps only the statistics, for training after pruning.
    ``norm_momentum`` is the share by which the other normalizations' running statistics follow each
    batch (TAO's is 0.01). ``neck`` is for EfficientNets: ``light`` is depthwise separable, ``path`` has full
    convolutions and goes down to stride 8 and up again; ``neck_blocks`` are those of each of its levels.
    """

    architecture: Literal["efficientnet_lite0", "efficientnet_lite2", "resnet18", "resnet34"] = (
        "efficientnet_lite0"
    )
    weights: str = "imagenet"
    freeze_norm: bool | Literal["statistics"] = True
    norm_momentum: float = Field(0.03, gt=0, le=1)
    neck: Literal["light", "path"] = "light"
    neck_channels: int = Field(112, ge=8)
    neck_blocks: int = Field(3, ge=0)
    coverage_bias: float = -4.0
    box_bias: float = 1.0

    @model_validator(mode="after")
    def _freezing_needs_weights(self) -> NetworkConfig:
        if self.freeze_norm and self.weights == "none":
            raise ValueError("freeze_norm: true needs weights, found weights: none")
        if self.architecture.startswith("resnet") and self.weights == "imagenet":
            raise ValueError(f"no ImageNet weights are known for {self.architecture}; use none or a path")
        return self


class TargetConfig(Section):
    """What the cells of the grid aim at. Radii and deadzone as in TAO's bbox_rasterizer_config.

    ``assignment: ellipse`` is TAO's rasterization. With ``aligned`` each object is learned by the
    ``aligned_cells`` cells that find it best already, judged by coverage to the ``score_power`` times IoU to
    the ``fit_power``, and coverage aims at how good a cell's box is; radii and deadzone mean nothing then. A
    small object may also take cells within ``least_reach`` strides of its centre: at 0.5 it has one or two to
    choose from, at 1 four or more. A large one has hundreds, all about as good: it takes ``aligned_share`` of
    those inside it where that is more than ``aligned_cells``, and its cells weigh less for it.

    A ``stride`` of 8, for EfficientNet's networks, finds more small objects. Our own node and DeepStream read
    such a model, TAO and Isaac ROS know 16 only.
    """

    assignment: Literal["ellipse", "aligned"] = "ellipse"
    aligned_cells: int = Field(10, ge=1)
    aligned_share: float = Field(0.0, ge=0, le=1)
    score_power: float = Field(0.5, ge=0)
    fit_power: float = Field(6.0, gt=0)
    least_reach: float = Field(0.5, ge=0.5)
    stride: int = Field(16, ge=1)
    box_scale: float = Field(35.0, gt=0)
    box_offset: float = 0.5
    cov_radius: float = Field(0.6, gt=0, le=1)
    bbox_min_radius: float = Field(1.0, gt=0)
    deadzone: float = Field(0.4, ge=0, le=1)


class LossConfig(Section):
    """``tao``: weighted BCE and L1 with auto-weighting. ``focal_giou``: quality focal loss and GIoU.

    With ``focal_giou`` the box loss is GIoU plus ``side_weight`` times the mean error of the four
    sides relative to the object's size. ``quality`` is how far coverage is to say how good the cell's box
    is: at 1 a cell aims at its target times the IoU of its box, so that the best box of an object has the
    best score. ``positive_coverage`` is the coverage from which on a cell learns its box, of an ellipse or of
    what a teacher says. ``object_balance`` is the power of an object's area in cells by which its cells weigh
    less: at 0 cells count alike, so that an object counts by its area, at 1 objects do. A run with a teacher
    adds ``teacher_weight`` times the same loss against what the teacher says, which is quality and balance
    enough.
    """

    kind: Literal["tao", "focal_giou"] = "focal_giou"
    focal_gamma: float = Field(2.0, ge=0)
    focal_alpha: float = Field(0.5, gt=0, lt=1)
    box_weight: float = Field(2.0, ge=0)
    teacher_weight: float = Field(1.0, ge=0)
    quality: float = Field(0.0, ge=0, le=1)
    object_balance: float = Field(0.0, ge=0, le=1)
    side_weight: float = Field(0.25, ge=0)
    positive_coverage: float = Field(0.5, gt=0, le=1)
    foreground_weight: float = Field(0.05, gt=0, lt=1)
    coverage_initial_weight: float = Field(1.0, gt=0)
    box_initial_weight: float = Field(10.0, gt=0)
    auto_weighting: bool = True
    min_objective_weight: float = Field(0.0001, ge=0)
    max_objective_weight: float = Field(0.9999, le=1)
    weight_l1: float = Field(3e-9, ge=0)


class ScheduleConfig(Section):
    """``cosine``: linear warm-up, then half a cosine. ``tao``: soft start, plateau, annealing."""

    kind: Literal["cosine", "tao"] = "cosine"
    learning_rate: float = Field(2e-3, gt=0)
    final_share: float = Field(0.01, gt=0, le=1)
    warmup: float = Field(0.04, ge=0, lt=1)
    soft_start: float = Field(0.1, gt=0, lt=1)
    annealing: float = Field(0.7, gt=0, lt=1)


class TrainerConfig(Section):
    """The loop.

    ``steps`` is the length of a run without a time limit. ``decode_workers`` fill the cache (0: one
    for each core); ``loader_workers`` read it where the frames do not fit on the device (null: as many
    as suit the device). ``memory_layout: auto`` measures both layouts on a GPU and takes the faster.

    ``devices`` is the number of GPUs, or of processes on a CPU; auto: every GPU there is. They share out
    ``batch_size``. ``prepare_ahead`` augments the next batch while the network runs, ``cuda_graph`` replays
    the network's passes as recorded ones; both are for GPUs, the first for frames on the device, the second
    for one device. ``patience`` ends a run after so many validations without a better AP50 (0: never).
    """

    seed: int = Field(0, ge=0)
    batch_size: int = Field(32, ge=1)
    steps: int = Field(4000, ge=1)
    weight_decay: float = Field(0.02, ge=0)
    backbone_lr_factor: float = Field(0.1, ge=0)
    gradient_clip: float = Field(5.0, ge=0)
    ema_decay: float = Field(0.998, ge=0, lt=1)
    precision: Literal["auto", "32-true", "bf16-mixed"] = "auto"
    memory_layout: Literal["auto", "channels_last", "contiguous"] = "auto"
    devices: int | Literal["auto"] = "auto"
    compile: bool = False
    prepare_ahead: bool = True
    cuda_graph: bool = False
    frames_on_device: Literal["auto", "always", "never"] = "auto"
    decode_workers: int = Field(0, ge=0)
    loader_workers: int | None = Field(None, ge=0)
    log_every: int = Field(20, ge=1)
    checkpoint_every: int = Field(500, ge=1)
    validate_every: int = Field(1000, ge=1)
    validation_share: float = Field(0.05, ge=0, lt=1)
    validation_frames: int = Field(200, ge=1)
    patience: int = Field(0, ge=0)
    snapshots: int = Field(4, ge=0)

    @model_validator(mode="after")
    def _devices_share_the_batch(self) -> TrainerConfig:
        if self.devices != "auto" and (self.devices < 1 or self.batch_size % self.devices):
            raise ValueError(
                f"devices: expected auto or a number that divides batch_size {self.batch_size}, "
                f"found {self.devices}"
            )
        return self


class QuantizationConfig(Section):
    """Training with weights and activations rounded to INT8, as the deployed network has them.

    Normalization is folded, ranges of activations are measured on ``calibration_frames`` training
    frames by ``calibration`` (``percentile`` takes ``percentile`` percent of all values), then training
    goes on through the rounding. Layers whose name starts with one of ``keep_float`` keep their weights.
    """

    enabled: bool = False
    calibration_frames: int = Field(256, ge=1)
    calibration: Literal["max", "percentile"] = "percentile"
    percentile: float = Field(99.99, gt=50, le=100)
    keep_float: tuple[str, ...] = ("coverage", "boxes")


class ExportConfig(Section):
    """What ``model.json`` says about turning the two tensors into boxes."""

    method: Literal["nms", "dbscan"] = "nms"
    coverage_threshold: float = Field(0.05, gt=0, lt=1)
    iou_threshold: float = Field(0.5, gt=0, le=1)
    eps: float = Field(0.15, gt=0, le=1)
    min_samples: int = Field(1, ge=1)
    score: Literal["max", "mean"] = "max"
    minimum_height: int = Field(0, ge=0)
    score_threshold: float = Field(0.5, gt=0, lt=1)


class ExpectedNumber(Section):
    """What a measured number must come to: ``value``, or worse by no more than ``tolerance``."""

    value: float
    tolerance: float = Field(ge=0)


class TrainingConfig(Section):
    """Everything a run needs besides its data.

    ``classes`` are the network's classes in channel order. ``background_classes`` may occur in the
    labels and are taught as background; any other name in a label file is an error. ``expected`` names
    numbers of the last validation that a run on the data it was written for must reach.
    """

    name: str = "palletjack_lite"
    classes: tuple[str, ...] = ("palletjack",)
    background_classes: tuple[str, ...] = ()
    input: InputConfig = InputConfig()  # type: ignore[call-arg]
    network: NetworkConfig = NetworkConfig()  # type: ignore[call-arg]
    targets: TargetConfig = TargetConfig()  # type: ignore[call-arg]
    loss: LossConfig = LossConfig()  # type: ignore[call-arg]
    augment: AugmentConfig = AugmentConfig()
    schedule: ScheduleConfig = ScheduleConfig()  # type: ignore[call-arg]
    trainer: TrainerConfig = TrainerConfig()  # type: ignore[call-arg]
    quantization: QuantizationConfig = QuantizationConfig()  # type: ignore[call-arg]
    export: ExportConfig = ExportConfig()  # type: ignore[call-arg]
    expected: dict[Literal["ap50", "best_f1", "loss"], ExpectedNumber] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _grid_is_one_of_the_networks(self) -> TrainingConfig:
        strides = (16,) if self.network.architecture.startswith("resnet") else (16, 8)
        if self.targets.stride not in strides:
            raise ValueError(
                f"targets.stride: expected {' or '.join(map(str, strides))} for {self.network.architecture}, "
                f"found {self.targets.stride}"
            )
        return self

    @model_validator(mode="after")
    def _aligned_has_its_loss(self) -> TrainingConfig:
        loss = self.loss
        if self.targets.assignment == "aligned" and (loss.kind, loss.quality, loss.object_balance) != (
            "focal_giou",
            0.0,
            0.0,
        ):
            raise ValueError(
                "targets.assignment: aligned is quality and balance itself: expected loss.kind focal_giou, "
                "loss.quality 0 and loss.object_balance 0, found "
                f"{loss.kind}, {loss.quality} and {loss.object_balance}"
            )
        return self

    @model_validator(mode="after")
    def _sizes_and_classes_fit(self) -> TrainingConfig:
        for side in ("width", "height"):
            if getattr(self.input, side) % 32:
                raise ValueError(
                    f"input.{side}: expected a multiple of 32 (the network works down to that stride), "
                    f"found {getattr(self.input, side)}"
                )
        if not self.classes or len(set(self.classes)) != len(self.classes):
            raise ValueError(f"classes: expected one or more different names, found {list(self.classes)}")
        both = set(self.classes) & set(self.background_classes)
        if both:
            raise ValueError(f"background_classes: {sorted(both)} are also in classes")
        return self

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the output grid."""
        return self.input.height // self.targets.stride, self.input.width // self.targets.stride


def shipped_configs() -> list[str]:
    """Names that ``load_config`` takes without a path."""
    folder = resources.files("palletjack_training") / "configs"
    return sorted(item.name[:-5] for item in folder.iterdir() if item.name.endswith(".yaml"))


def load_config(name_or_path: str | Path, overrides: Sequence[str] = ()) -> TrainingConfig:
    """Read a configuration by shipped name or by path and apply ``a.b=value`` overrides.

    Raises ConfigError, naming the file and the field, for anything that cannot be used.
    """
    text, origin = _read(str(name_or_path))
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{origin}: not valid YAML: {error}") from error
    data = {} if data is None else data
    if not isinstance(data, dict):
        raise ConfigError(f"{origin}: expected a mapping of fields, found {type(data).__name__}")
    for override in overrides:
        _apply_override(data, override)
    return parse_config(data, origin)


def parse_config(data: dict[str, Any], origin: str) -> TrainingConfig:
    """Check ``data`` and return the configuration; ``origin`` names it in errors (ConfigError)."""
    try:
        return TrainingConfig.model_validate(data)
    except ValidationError as error:
        raise ConfigError("\n".join(f"{origin}: {line}" for line in _explain(error))) from error


def first_difference(name: str, ours: Any, theirs: Any) -> tuple[str, Any, Any]:
    """The first field, dotted, in which two values of the part ``name`` differ, and its two values."""
    if isinstance(ours, BaseModel):
        for field in type(ours).model_fields:
            mine, other = getattr(ours, field), getattr(theirs, field)
            if mine != other:
                return first_difference(f"{name}.{field}", mine, other)
    return name, ours, theirs


def save_config(config: TrainingConfig, path: Path) -> None:
    """Write the resolved configuration as YAML, replacing ``path`` only when complete."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))
    os.replace(temporary, path)


def _read(name: str) -> tuple[str, str]:
    path = Path(name)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        try:
            return path.read_text(), str(path)
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    if name not in shipped_configs():
        raise ConfigError(
            f"--config: expected a YAML file or one of {', '.join(shipped_configs())}, found {name!r}"
        )
    resource = resources.files("palletjack_training") / "configs" / f"{name}.yaml"
    return resource.read_text(), f"{name}.yaml"


def _apply_override(data: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set: expected FIELD=VALUE such as trainer.batch_size=16, found {override!r}")
    *parents, leaf = key.split(".")
    section: Any = data
    for parent in parents:
        section = section.setdefault(parent, {})
        if not isinstance(section, dict):
            raise ConfigError(f"--set {override}: {parent} is a value, not a section")
    try:
        section[leaf] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {override}: the value is not valid YAML") from error


def _explain(error: ValidationError) -> Iterator[str]:
    for item in error.errors():
        path = ".".join(str(part) for part in item["loc"]) or "(file)"
        if item["type"] == "extra_forbidden":
            nearest = difflib.get_close_matches(str(item["loc"][-1]), _valid_names(item["loc"][:-1]), 1, 0.5)
            hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
            yield f"{path}: unknown field{hint}"
        else:
            yield f"{path}: {item['msg'].removeprefix('Value error, ')}, found {item['input']!r:.80}"


def _valid_names(section: tuple[int | str, ...]) -> list[str]:
    model: Any = TrainingConfig
    for part in section:
        model = model.model_fields[str(part)].annotation
    return list(model.model_fields)
