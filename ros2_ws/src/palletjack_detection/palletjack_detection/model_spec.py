"""What model.json says: the dataclasses below are that JSON, field for field.

A field without a default must be in the file. Types, ranges and choices are checked; an unknown field is
refused with the nearest valid name.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FORMAT = "palletjack-model/1"
JSON_NAME = "model.json"
ONNX_NAME = "model.onnx"
PRECISIONS = ("fp32", "fp16", "int8")
RUNTIMES = ("cpu", "tensorrt", "any")
# Names in use, with their precision and what they are made for: TensorRT takes signed symmetric
# activations only, and ONNX Runtime's fast kernels on processors take unsigned ones.
VARIANTS = {"int8": ("int8", "tensorrt"), "int8_cpu": ("int8", "cpu"), "fp16": ("fp16", "any")}


class ModelFolderError(ValueError):
    """A model folder that cannot be used: the message names file, field, expected and found."""


@dataclass(frozen=True)
class InputSpec:
    """The input tensor (N, 3, height, width) float32, normalised as (pixel * scale - mean) / stddev.

    ``pad_value`` is in pixel units (0..255), before the normalisation. ``mean`` and ``stddev`` are
    in the units that ``scale`` leads to, one number for each channel in the order of ``channels``.
    """

    name: str
    width: int
    height: int
    channels: str
    scale: float
    mean: tuple[float, float, float]
    stddev: tuple[float, float, float]
    resize: str
    padding: str = "center"
    pad_value: int = 0

    @property
    def is_plain(self) -> bool:
        """Whether the tensor is the pixel over 255, which a file that takes bytes does itself."""
        exact = math.isclose(self.scale, 1 / 255, rel_tol=1e-6)
        return exact and self.mean == (0.0, 0.0, 0.0) and self.stddev == (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class OutputSpec:
    """Names of the two output tensors: coverage (N, C, h, w) and boxes (N, 4C, h, w)."""

    coverage: str
    boxes: str


CLUSTERING_METHODS = ("nms", "plain_nms", "dbscan")


@dataclass(frozen=True)
class ClusteringSpec:
    """How hot cells become boxes: see :mod:`palletjack_detection.clustering`.

    ``minimum_height`` is in pixels of the network's input; a box of at most that height is dropped.
    """

    method: str
    coverage_threshold: float
    iou_threshold: float = 0.5
    eps: float = 0.15
    min_samples: float = 1.0
    score: str = "max"
    minimum_height: float = 0.0


@dataclass(frozen=True)
class Variant:
    """The network in another precision: a file beside model.json with the same tensors.

    ``runtime`` is what it is made for; others may run it more slowly or not at all. One for ``cpu`` may take
    the image as bytes (N, height, width, 4) instead.
    """

    file: str
    sha256: str
    precision: str
    runtime: str = "any"


@dataclass(frozen=True)
class ModelSpec:
    """All of model.json. ``training`` and ``metrics`` are free provenance, kept as they are.

    ``onnx_sha256``, when given, is compared with model.onnx on load, so that a model whose two files
    do not belong together is refused. ``precision`` is the model's own, see ``precision_here``.
    """

    name: str
    architecture: str
    input: InputSpec
    outputs: OutputSpec
    classes: tuple[str, ...]
    stride: int
    box_scale: float
    box_offset: float
    clustering: ClusteringSpec
    score_threshold: float
    training: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    onnx_sha256: str = ""
    precision: str = "fp32"
    variants: dict[str, Variant] = field(default_factory=dict)
    format: str = FORMAT

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the output tensors."""
        return self.input.height // self.stride, self.input.width // self.stride

    @property
    def precisions(self) -> tuple[str, ...]:
        """Precisions that the folder holds, model.onnx first."""
        return tuple(dict.fromkeys(("fp32", *(item.precision for item in self.variants.values()))))

    def network_file(self, precision: str = "auto", runtime: str = "cpu") -> str:
        """Name of the ONNX file to run in ``precision`` on ``runtime``; ``auto`` takes the model's own.

        Among several, the one made for the runtime wins, then one made for any.

        Raises:
            ModelFolderError: the folder does not hold that precision.
        """
        wanted = self.precision if precision == "auto" else precision
        if wanted == "fp32":
            return ONNX_NAME
        fitting = [item for item in self.variants.values() if item.precision == wanted]
        if not fitting:
            raise ModelFolderError(
                f"model {self.name}: precision: expected one of {', '.join(self.precisions)}, "
                f"found {wanted!r}"
            )
        order = {runtime: 0, "any": 1}
        return min(fitting, key=lambda item: order.get(item.runtime, 2)).file


_CHOICES = {
    "architecture": ("detectnet_v2",),
    "input.channels": ("rgb", "bgr"),
    "input.resize": ("letterbox", "stretch"),
    "input.padding": ("center", "bottom_right"),
    "clustering.method": CLUSTERING_METHODS,
    "clustering.score": ("max", "mean"),
    "precision": PRECISIONS,
    "variants.*.precision": PRECISIONS,
    "variants.*.runtime": RUNTIMES,
}
# Closed ranges of what may be written; None leaves a side open.
_RANGES: dict[str, tuple[float, float | None]] = {
    "input.width": (1, 16384),
    "input.height": (1, 16384),
    "input.pad_value": (0, 255),
    "stride": (1, 256),
    "clustering.coverage_threshold": (0.0, 1.0),
    "clustering.iou_threshold": (0.0, 1.0),
    "clustering.eps": (0.0, 1.0),
    "clustering.min_samples": (0.0, None),
    "clustering.minimum_height": (0.0, None),
    "score_threshold": (0.0, 1.0),
}


def parse_model_spec(document: object, source: str = JSON_NAME) -> ModelSpec:
    """Turn the parsed JSON ``document`` into a checked spec; ``source`` names it in errors.

    Raises:
        ModelFolderError: a field is missing, unknown, of the wrong type, out of range or at odds with
            another.
    """
    if isinstance(document, dict) and document.get("format") != FORMAT:
        found = repr(document["format"]) if "format" in document else "no such field"
        raise ModelFolderError(f"{source}: format: expected '{FORMAT}', found {found}")
    spec = _parse_object(ModelSpec, document, source, "")
    assert isinstance(spec, ModelSpec)
    _check(spec, source)
    return spec


def _parse_object(kind: type, value: object, source: str, prefix: str) -> Any:
    """Build the dataclass ``kind`` from a JSON object; ``prefix`` is its dotted path, with the dot."""
    if not isinstance(value, dict):
        name = prefix.rstrip(".") or "document"
        raise ModelFolderError(f"{source}: {name}: expected an object, found {_describe(value)}")
    hints = typing.get_type_hints(kind)
    for key in value:
        if key not in hints:
            near = difflib.get_close_matches(key, hints, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            raise ModelFolderError(
                f"{source}: {prefix}{key}: expected one of {', '.join(hints)}, found an unknown field{hint}"
            )
    arguments = {}
    for item in dataclasses.fields(kind):
        path = prefix + item.name
        if item.name in value:
            arguments[item.name] = _parse_value(hints[item.name], value[item.name], source, path)
        elif item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING:
            raise ModelFolderError(
                f"{source}: {path}: expected {_expected(hints[item.name])}, found no field"
            )
    return kind(**arguments)


def _parse_value(kind: Any, value: object, source: str, path: str) -> Any:
    if dataclasses.is_dataclass(kind):
        assert isinstance(kind, type)
        return _parse_object(kind, value, source, path + ".")
    origin = typing.get_origin(kind) or kind
    parsed: Any = None
    members = typing.get_args(kind)
    if origin is dict and isinstance(value, dict) and dataclasses.is_dataclass(members[1]):
        return {key: _parse_value(members[1], item, source, f"{path}.{key}") for key, item in value.items()}
    if origin is tuple and isinstance(value, list):
        if members[-1] is Ellipsis:
            members = (members[0],) * len(value)
        if len(members) == len(value):
            parts = zip(members, value)  # noqa: B905 - equal by the line above
            return tuple(_parse_value(m, v, source, f"{path}[{i}]") for i, (m, v) in enumerate(parts))
    elif (
        (origin is str and isinstance(value, str))
        or (origin is dict and isinstance(value, dict))
        or (origin is int and isinstance(value, int) and not isinstance(value, bool))
    ):
        parsed = value
    elif (
        origin is float
        and isinstance(value, (int, float))
        and not isinstance(value, bool)
        and math.isfinite(value)
    ):
        parsed = float(value)
    if parsed is None:
        raise ModelFolderError(f"{source}: {path}: expected {_expected(kind)}, found {_describe(value)}")
    _check_value(path, parsed, source)
    return parsed


def _check_value(path: str, value: Any, source: str) -> None:
    head, *rest = path.split(".")
    key = ".".join((head, "*", *rest[1:])) if head == "variants" and rest else path
    if key in _CHOICES and value not in _CHOICES[key]:
        near = difflib.get_close_matches(str(value), _CHOICES[key], n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise ModelFolderError(
            f"{source}: {path}: expected one of {', '.join(_CHOICES[key])}, found '{value}'{hint}"
        )
    if path in _RANGES:
        low, high = _RANGES[path]
        if value < low or (high is not None and value > high):
            bound = f"{low} or more" if high is None else f"{low} to {high}"
            raise ModelFolderError(f"{source}: {path}: expected {bound}, found {value}")


def _check(spec: ModelSpec, source: str) -> None:
    """Refuse what is well-typed but cannot work."""
    for name, size in (("width", spec.input.width), ("height", spec.input.height)):
        if size % spec.stride:
            raise ModelFolderError(
                f"{source}: input.{name}: expected a multiple of stride {spec.stride}, found {size}"
            )
    positive = {"box_scale": spec.box_scale, "input.scale": spec.input.scale}
    positive.update({f"input.stddev[{i}]": v for i, v in enumerate(spec.input.stddev)})
    for path, number in positive.items():
        if number <= 0:
            raise ModelFolderError(f"{source}: {path}: expected more than 0, found {number}")
    names = {
        "name": spec.name,
        "input.name": spec.input.name,
        "outputs.coverage": spec.outputs.coverage,
        "outputs.boxes": spec.outputs.boxes,
        **{f"classes[{i}]": name for i, name in enumerate(spec.classes)},
    }
    for path, name in names.items():
        if not name.strip():
            raise ModelFolderError(f"{source}: {path}: expected a name, found an empty string")
    if spec.outputs.coverage == spec.outputs.boxes:
        raise ModelFolderError(
            f"{source}: outputs.boxes: expected another tensor than outputs.coverage, "
            f"found '{spec.outputs.boxes}' for both"
        )
    for name, variant in spec.variants.items():
        if Path(variant.file).name != variant.file or not variant.file.endswith(".onnx"):
            raise ModelFolderError(
                f"{source}: variants.{name}.file: expected an .onnx file beside {JSON_NAME}, "
                f"found {variant.file!r}"
            )
    if spec.precision not in spec.precisions:
        raise ModelFolderError(
            f"{source}: precision: expected one of {', '.join(spec.precisions)}, which the folder holds, "
            f"found '{spec.precision}'"
        )
    if not spec.classes or len(set(spec.classes)) != len(spec.classes):
        raise ModelFolderError(
            f"{source}: classes: expected at least one name, each once, found {list(spec.classes)}"
        )


def _expected(kind: Any) -> str:
    if dataclasses.is_dataclass(kind):
        return "an object"
    origin = typing.get_origin(kind) or kind
    if origin is tuple:
        members = typing.get_args(kind)
        item = _expected(members[0]).split(" ", 1)[1]
        return f"a list of {item}s" if members[-1] is Ellipsis else f"a list of {len(members)} {item}s"
    names = {str: "a string", int: "a whole number", float: "a finite number", dict: "an object"}
    return names.get(origin, getattr(origin, "__name__", str(origin)))


def _describe(value: object) -> str:
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if value is None:
        return "null"
    return f"{json.dumps(value)} ({type(value).__name__})"
