"""Traps that show only beside the data: folds, shards, sizes, classes, label lines."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from palletjack_training.tao.data_survey import DataSurvey, fold_sizes
from palletjack_training.tao.findings import Finding
from palletjack_training.tao.schema import CONVERSION, EXPERIMENT, Spec

_LISTED = 3


def lint_data(data: DataSurvey, specs: Sequence[Spec], gpus: int = 1) -> Iterator[Finding]:
    """Findings on the folder itself, and on each spec against it. ``gpus`` share an epoch's steps."""
    yield from _several("TAO012", data.wrong_lines)
    yield from _several("TAO013", data.degenerate)
    yield from _several("TAO033", [*data.unlabelled, *data.unreadable])
    conversions = [spec for spec in specs if spec.kind == CONVERSION]
    for spec in conversions:
        yield from _conversion(spec, data)
    folds = _folds(conversions, data)
    for spec in specs:
        if spec.kind == EXPERIMENT:
            yield from _experiment(spec, data)
            if folds:
                yield from _steps(spec, *folds, gpus)


def _several(code: str, places: Sequence[str]) -> Iterator[Finding]:
    for place in places[:_LISTED]:
        further = len(places) - _LISTED
        last = place == places[:_LISTED][-1]
        yield Finding(code, place, f"and {further} more" if last and further > 0 else "as it stands")


def _folds(conversions: Sequence[Spec], data: DataSurvey) -> tuple[int, int] | None:
    for spec in conversions:
        kitti = spec.message.kitti_config
        if kitti.partition_mode == "random":
            return fold_sizes(data.images, kitti.val_split)
    return None


def _conversion(spec: Spec, data: DataSurvey) -> Iterator[Finding]:
    kitti = spec.message.kitti_config
    if kitti.partition_mode == "random":
        shards = kitti.num_shards or 1
        for name, count in zip(
            ("training", "validation"), fold_sizes(data.images, kitti.val_split), strict=True
        ):
            if count < shards:
                yield Finding(
                    "TAO004", f"{spec.path}:kitti_config.num_shards", f"{shards} for {count} {name} images"
                )
        if data.ordered:
            yield Finding(
                "TAO010", f"{spec.path}:kitti_config.partition_mode", f"names of {data.folder}/images"
            )
    extension = kitti.image_extension or ".png"
    if extension not in data.extensions:
        yield Finding(
            "TAO028",
            f"{spec.path}:kitti_config.image_extension",
            f"{extension!r}, images have {', '.join(sorted(data.extensions))}",
        )


def _experiment(spec: Spec, data: DataSurvey) -> Iterator[Finding]:
    preprocessing = spec.message.augmentation_config.preprocessing
    size = (preprocessing.output_image_width, preprocessing.output_image_height)
    others = sorted(found for found in data.sizes if found != size)
    if others and not preprocessing.enable_auto_resize:
        yield Finding(
            "TAO011",
            f"{spec.path}:augmentation_config.preprocessing.enable_auto_resize",
            f"output {size[0]} x {size[1]}, images of {others[0][0]} x {others[0][1]}",
        )
    config = spec.message.dataset_config
    extension = config.image_extension or "png"
    if f".{extension.removeprefix('.')}" not in data.extensions:
        yield Finding(
            "TAO028",
            f"{spec.path}:dataset_config.image_extension",
            f"{extension!r}, images have {', '.join(sorted(data.extensions))}",
        )
    written = {name.lower() for name in data.classes}
    for name in config.target_class_mapping:
        # A wrong case is TAO009's; here the class is missing in any case.
        if name.lower() not in written:
            yield Finding(
                "TAO030",
                f"{spec.path}:dataset_config.target_class_mapping",
                f"{name!r}, labels have {', '.join(sorted(written)) or 'none'}",
            )


def _steps(spec: Spec, training: int, validation: int, gpus: int) -> Iterator[Finding]:
    config = spec.message.training_config
    batch = config.batch_size_per_gpu
    if not batch:
        return
    steps = math.ceil(training / batch / gpus)
    # Unset means 10 in TAO, with the visualizer off as well.
    frequency = config.visualizer.scalar_logging_frequency or 10
    if frequency > steps:
        yield Finding(
            "TAO005",
            f"{spec.path}:training_config.visualizer.scalar_logging_frequency",
            f"{frequency} points with {steps} steps",
        )
    if validation < batch:
        yield Finding(
            "TAO007",
            f"{spec.path}:training_config.batch_size_per_gpu",
            f"{batch} with {validation} validation images",
        )
