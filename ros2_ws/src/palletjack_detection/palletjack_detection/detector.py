"""The detector: an image in, boxes in that image's own pixels out."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from palletjack_detection.clustering import Clusters, cluster
from palletjack_detection.decode import decode_hot_cells
from palletjack_detection.detections import Detections
from palletjack_detection.engine import (
    CPU,
    WHILE_RUNNING,
    Batch,
    Engine,
    OnnxRuntimeEngine,
    choose_providers,
)
from palletjack_detection.model_folder import ModelSpec, load_model_spec
from palletjack_detection.model_spec import CLUSTERING_METHODS
from palletjack_detection.preprocess import Preprocessor, ResizeGeometry
from palletjack_detection.processor import multiplies_int8

FloatArray = NDArray[np.float32]
AUTO, ONNXRUNTIME = "auto", "onnxruntime"
BACKENDS = (AUTO, ONNXRUNTIME, "tensorrt", "tensorrt_rtx")


@dataclass(frozen=True)
class StageTimes:
    """Milliseconds that the stages of one detection took."""

    preprocess_ms: float
    inference_ms: float
    decode_ms: float

    @property
    def total_ms(self) -> float:
        """All stages together."""
        return self.preprocess_ms + self.inference_ms + self.decode_ms


class Detector:
    """A model ready to run. Use one from one thread at a time: its input buffer is used again.

    ``score_threshold`` and ``clustering`` may be changed between calls. ``backend`` names the library that
    runs the network, ``precision`` what it runs it in.
    """

    def __init__(
        self,
        spec: ModelSpec,
        engine: Engine,
        *,
        score_threshold: float | None = None,
        backend: str = ONNXRUNTIME,
        precision: str = "auto",
    ) -> None:
        self.spec = spec
        self.engine = engine
        self.backend = backend
        self.precision = spec.precision if precision == "auto" else precision
        self.score_threshold = spec.score_threshold if score_threshold is None else score_threshold
        self.clustering = spec.clustering
        self._preprocess = Preprocessor(spec.input)

    def cluster_by(self, method: str) -> None:
        """Cluster by ``method``, one of CLUSTERING_METHODS or ``auto``, the model's own, with its numbers.

        Raises:
            ValueError: there is no such method.
        """
        if method not in (AUTO, *CLUSTERING_METHODS):
            raise ValueError(
                f"clustering: expected one of {', '.join((AUTO, *CLUSTERING_METHODS))}; found {method!r}"
            )
        own = self.spec.clustering
        self.clustering = own if method == AUTO else dataclasses.replace(own, method=method)

    @classmethod
    def load(
        cls,
        model_dir: Path,
        *,
        providers: Sequence[str] | None = None,
        score_threshold: float | None = None,
        threads: int | None = None,
        precision: str = "auto",
        spinning: str = WHILE_RUNNING,
        backend: str = AUTO,
        build: bool = False,
        say: Callable[[str], None] = lambda text: None,
    ) -> Detector:
        """Load the model folder ``model_dir``.

        ``providers``: ONNX Runtime providers by priority; None takes CUDA where installed, else the
        CPU. ``score_threshold``: 0..1; None takes the model's own. ``threads``: within one operator of ONNX
        Runtime; ``spinning``, one of SPINNING: when they wait for work in a loop.
        ``precision``: ``fp32``, ``fp16`` or ``int8``, as far as the folder holds them; ``auto`` takes what
        ``precision_here`` says. ``backend``: ``onnxruntime``, ``tensorrt``, ``tensorrt_rtx``, or ``auto``,
        which takes an engine of TensorRT that was built on this machine before, else ONNX Runtime; with
        ``providers`` it is ONNX Runtime. ``build``: build the engine where there is none, which takes
        minutes; ``say`` hears of it.

        Raises:
            ModelFolderError: the folder or its model.json is not right.
            EngineMissing: the engine was not built yet, and ``build`` is off.
            EngineError: the network cannot be loaded or does not fit the model.json.
            ValueError: the score threshold is outside 0..1.
        """
        if score_threshold is not None and not 0.0 <= score_threshold <= 1.0:
            raise ValueError(f"score_threshold: expected 0 to 1, found {score_threshold}")
        if backend not in BACKENDS:
            raise ValueError(f"backend: expected one of {', '.join(BACKENDS)}, found {backend!r}")
        folder = Path(model_dir)
        if backend == AUTO and providers is not None:
            backend = ONNXRUNTIME
        if backend != ONNXRUNTIME:
            from palletjack_detection.engines.choose import best_engine, named_engine

            if backend == AUTO:
                engine = best_engine(folder, precision, build=build, say=say)
            else:
                engine = named_engine(folder, precision, backend, build=build, say=say)
            if engine is not None:
                return cls(
                    engine.spec,
                    engine,
                    score_threshold=score_threshold,
                    backend=engine.runtime,
                    precision=precision,
                )
        spec = load_model_spec(folder)
        names = choose_providers(providers)
        runtime = "cpu" if names[0] == CPU else "tensorrt"
        chosen = precision_here(spec, runtime) if precision == "auto" else precision
        onnx = folder / spec.network_file(chosen, runtime)
        return cls(
            spec,
            OnnxRuntimeEngine(
                onnx, spec, providers=names, threads=threads, precision=chosen, spinning=spinning
            ),
            score_threshold=score_threshold,
            precision=chosen,
        )

    def detect(self, rgb: NDArray[np.uint8], lowest_score: float | None = None) -> Detections:
        """Find objects in ``rgb`` (H, W, 3) uint8; boxes are pixels of that image, clipped to it.

        ``lowest_score`` takes the place of the score threshold for this image.

        Raises:
            ValueError: the image is empty or of another shape or type.
            EngineError: the network failed.
        """
        return self.detect_with_timing(rgb, lowest_score)[0]

    def detect_with_timing(
        self, rgb: NDArray[np.uint8], lowest_score: float | None = None
    ) -> tuple[Detections, StageTimes]:
        """Like :meth:`detect`, with the time that each stage took."""
        start = time.perf_counter()
        batch, geometry = self.prepare(rgb)
        prepared = time.perf_counter()
        coverage, boxes = self.engine.run(batch)
        inferred = time.perf_counter()
        detections = self.decode(coverage[0], boxes[0], geometry, lowest_score)
        decoded = time.perf_counter()
        return detections, StageTimes(
            1e3 * (prepared - start), 1e3 * (inferred - prepared), 1e3 * (decoded - inferred)
        )

    def prepare(self, rgb: NDArray[np.uint8]) -> tuple[Batch, ResizeGeometry]:
        """Turn ``rgb`` into what the engine takes, valid until the next call, and where the image lies in it.

        Raises:
            ValueError: the image is empty or of another shape or type.
        """
        return self._preprocess.pixels(rgb) if self.engine.takes_pixels else self._preprocess(rgb)

    def decode(
        self,
        coverage: FloatArray,
        boxes: FloatArray,
        geometry: ResizeGeometry,
        lowest_score: float | None = None,
    ) -> Detections:
        """Turn one image's output tensors (C, h, w) and (4C, h, w) into boxes in its pixels."""
        spec = self.spec
        threshold = self.score_threshold if lowest_score is None else lowest_score
        candidates = decode_hot_cells(
            coverage,
            boxes,
            coverage_threshold=self.clustering.coverage_threshold,
            stride=spec.stride,
            box_scale=spec.box_scale,
            box_offset=spec.box_offset,
        )
        found = cluster(candidates, self.clustering, lowest_score=threshold)
        return to_camera(found, geometry, spec.classes, threshold)


def precision_here(spec: ModelSpec, runtime: str = "cpu") -> str:
    """The precision to run ``spec`` in where none is asked for: the model's own.

    Except for INT8 on a processor that is slower in it, where it is FP32, which every folder holds.
    """
    if runtime == "cpu" and spec.precision == "int8" and not multiplies_int8():
        return "fp32"
    return spec.precision


def to_camera(
    found: Clusters, geometry: ResizeGeometry, classes: tuple[str, ...], score_threshold: float
) -> Detections:
    """Turn boxes in pixels of the network's input into those of the image, clipped to it."""
    pixels = geometry.to_image(found.boxes)
    pixels[:, 0::2] = np.clip(pixels[:, 0::2], 0, geometry.image_width)
    pixels[:, 1::2] = np.clip(pixels[:, 1::2], 0, geometry.image_height)
    # What lies wholly in the padding has no pixel left in the image.
    keep = (pixels[:, 2] > pixels[:, 0]) & (pixels[:, 3] > pixels[:, 1]) & (found.scores >= score_threshold)
    return Detections(pixels[keep].astype(np.float32), found.scores[keep], found.class_ids[keep], classes)
