"""The traps of TAO DetectNet_v2 by code: what goes wrong, how bad it is, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Severity(IntEnum):
    """``error``: the run fails or gives nothing. ``warning``: it runs and misleads. ``info``: know it."""

    info = 0
    warning = 1
    error = 2


@dataclass(frozen=True)
class Trap:
    """A known trap: its severity and its remedy."""

    severity: Severity
    title: str
    remedy: str


@dataclass(frozen=True)
class Finding:
    """A trap met at ``place`` (file:field or file:line), with what was found there."""

    code: str
    place: str
    found: str

    @property
    def trap(self) -> Trap:
        """What is known of it."""
        return TRAPS[self.code]

    def __str__(self) -> str:
        trap = self.trap
        return f"{self.code} {trap.severity.name}: {self.place}: {trap.title}: {self.found}. {trap.remedy}"


_E, _W, _I = Severity.error, Severity.warning, Severity.info
TRAPS: dict[str, Trap] = {
    "TAO001": Trap(_E, "not a spec of this version", "Correct the field or its type."),
    "TAO002": Trap(
        _E, "a float where 5.x wants a whole number", "Write dbscan_min_samples: 1 (4.0 took a share)."
    ),
    "TAO003": Trap(
        _E,
        "the pattern also meets the converter's _warning.json, which is no tfrecord (DataLossError)",
        "End tfrecords_path in '-fold-*'.",
    ),
    "TAO004": Trap(
        _E, "a fold has fewer images than shards, so shards stay empty (StopIteration)", "Lower num_shards."
    ),
    "TAO005": Trap(
        _E, "more points to log in an epoch than it has steps (ValueError)", "Set it to the steps or less."
    ),
    "TAO006": Trap(_E, "logs pictures less often than once a run (ValueError)", "At most num_epochs."),
    "TAO007": Trap(
        _E,
        "fewer validation images than a batch: no step is validated, mAP reads 0 without an error",
        "Lower batch_size_per_gpu or raise val_split.",
    ),
    "TAO008": Trap(
        _E, "not a multiple of 16; TAO refuses it and still ends with exit code 0", "Take 960 x 544."
    ),
    "TAO009": Trap(
        _E, "class names are lower-cased by the converter, others match nothing", "Write it in lower case."
    ),
    "TAO010": Trap(
        _W,
        "partition_mode random takes the first names to validate on, and these are in the order of making",
        "Shuffle the names with `palletjack convert --to tao`.",
    ),
    "TAO011": Trap(
        _E,
        "training crops images of another size to the top left corner, it does not resize them",
        "Set augmentation_config.preprocessing.enable_auto_resize: true.",
    ),
    "TAO012": Trap(_E, "a label line needs 15 columns", "Write whole KITTI lines."),
    "TAO013": Trap(
        _W,
        "corners cut to whole pixels leave no box; the converter writes a _warning.json beside the shards",
        "Drop the line; `palletjack convert --to tao` does.",
    ),
    "TAO014": Trap(
        _E,
        "the default export route keras2onnx pads asymmetrically; boxes and coverage come out wrong",
        "Export with --onnx_route tf2onnx.",
    ),
    "TAO015": Trap(
        _W,
        "TAO's train and evaluate swap dbscan_ and nms_confidence_threshold, its engine tools do not",
        "Give both the same value.",
    ),
    "TAO016": Trap(
        _I,
        "INTEGRATE leaves out the last step of recall: a perfect detector of N objects scores (N-1)/N",
        "Compare models with average_precision_mode: SAMPLE.",
    ),
    "TAO017": Trap(
        _W,
        "ignored by the default data loader, small boxes stay in",
        "Remove small boxes from the labels, or mark them DontCare.",
    ),
    "TAO018": Trap(
        _W, "64 MiB of shared memory, on which the data loader dies", "Add --shm-size=16g or --ipc=host."
    ),
    "TAO019": Trap(
        _E, "another key than the file was written with; it reads as a corrupt file", "Give each step one -k."
    ),
    "TAO020": Trap(
        _W,
        "TAO can fail and end with exit code 0",
        "Read the last status in status.json, as `palletjack tao run` does.",
    ),
    "TAO021": Trap(_E, "5.x writes .hdf5 and .onnx, not .tlt and .etlt", "Rename the output."),
    "TAO022": Trap(
        _E, "the task has no such flag, or lacks one that it needs", "See the flags in docs/tao.md."
    ),
    "TAO023": Trap(_E, "outside the range that TAO checks", "Bring it into the range."),
    "TAO024": Trap(_W, "not wired in the default data loader, no image is flipped", "Set it to 0."),
    "TAO025": Trap(
        _E, "a pruned graph has other shapes; its weights are skipped in silence", "Set load_graph: true."
    ),
    "TAO026": Trap(_W, "the container writes as root", "Add --user $(id -u):$(id -g)."),
    "TAO027": Trap(_E, "classes differ between sections of the spec", "Name the same classes in each."),
    "TAO028": Trap(_E, "no image has this extension", "Write the one that the images have."),
    "TAO029": Trap(
        _W, "pooling moves the stride out of the first block and averages it away", "Leave use_pooling unset."
    ),
    "TAO030": Trap(_E, "an object class that the labels do not have", "Name a class of the labels."),
    "TAO031": Trap(
        _E, "QAT does not take this network or these arguments", "Use resnet, and --data_type int8 alone."
    ),
    "TAO032": Trap(
        _E, "the step failed, whatever its exit code", "Read the message above, and the step's log."
    ),
    "TAO033": Trap(_E, "an image without labels, or one that does not decode", "Add an empty label file."),
    "TAO034": Trap(_E, "exported through keras2onnx", "Export again with --onnx_route tf2onnx."),
    "TAO035": Trap(
        _W,
        "confidence_model mean_cov divides by zero where a cluster has one cell or equal ones (NaN)",
        "Write aggregate_cov, which the engine tools take in any case.",
    ),
    "TAO036": Trap(
        _E,
        "tao-converter and UFF are gone from 5.x",
        "Build the engine from the ONNX: gen_trt_engine or trtexec.",
    ),
    "TAO037": Trap(
        _E, "the launcher cannot use this mounts file (KeyError)", "Correct it, or use plain docker run."
    ),
    "TAO038": Trap(
        _E,
        "neither export overwrites a network, nor gen_trt_engine a QAT calibration cache",
        "Remove it first.",
    ),
    "TAO039": Trap(
        _I,
        "the engine's evaluate has numbers of its own (SAMPLE, IoU 0.5, confidence 0.01), not the spec's",
        "Do not compare it with the evaluate of training.",
    ),
}
