"""A change to a network, and what it does to the answers on labelled images."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from model_table.rows import LabelledData
from numpy.typing import NDArray

from palletjack_detection.detector import Detector
from palletjack_detection.engine import Engine, OnnxRuntimeEngine
from palletjack_detection.image_files import read_image
from palletjack_detection.model_folder import ModelSpec
from palletjack_detection.preprocess import Preprocessor, ResizeGeometry
from palletjack_training.evaluation.ground_truth import ImageTruth
from palletjack_training.evaluation.inference import SCORE_FLOOR
from palletjack_training.evaluation.predictions import Predictions, to_rows
from palletjack_training.evaluation.scoring import score

FloatArray = NDArray[np.float32]
Answers = list[tuple[FloatArray, FloatArray]]
# Cells that the detector looks at.
_SEEN = 0.05
# Cells whose box may be shown.
_OBJECT = 0.3


@dataclass(frozen=True)
class Change:
    """``write`` puts the changed network, as ONNX, into a file. ``is_layer``: one layer, no set of them."""

    name: str
    write: Callable[[Path], None]
    is_layer: bool = True


class Witness:
    """Labelled images and what the unchanged network answers to them."""

    def __init__(
        self,
        unchanged: Callable[[Path], None],
        spec: ModelSpec,
        data: list[LabelledData],
        most: int,
        threads: int,
    ) -> None:
        """Take at most ``most`` images of each data set, evenly."""
        self._spec = spec
        self._threads = threads
        self._truths: dict[str, dict[str, ImageTruth]] = {}
        self._images: list[tuple[str, str, FloatArray, ResizeGeometry]] = []
        preprocess = Preprocessor(spec.input)
        for item in data:
            names = evenly(list(item.truth.images), most)
            self._truths[item.name] = {name: item.truth.images[name] for name in names}
            for name in names:
                tensor, geometry = preprocess(read_image(item.truth.image_dir / name))
                self._images.append((item.name, name, tensor.copy(), geometry))
        self.unchanged, self._reference = self._answer(unchanged)

    @property
    def counts(self) -> dict[str, int]:
        """Images by data set."""
        return {name: len(truth) for name, truth in self._truths.items()}

    def damage(self, change: Change) -> dict[str, Any]:
        """How far the answers move: coverage and box edges (root mean square over cells), AP50 and F1.

        Coverage is compared in cells that either network would look at, edges (in pixels of the network's
        input) in those where the unchanged one sees an object.
        """
        scores, answers = self._answer(change.write)
        coverage, edges = [], []
        for (cover, boxes), (cover_before, boxes_before) in zip(answers, self._reference, strict=True):
            seen = np.maximum(cover, cover_before) >= _SEEN
            coverage.append((cover - cover_before)[seen] ** 2)
            # Class-major: the four edges of a class follow each other.
            object_ = np.repeat(cover_before >= _OBJECT, 4, axis=0)
            edges.append((self._spec.box_scale * (boxes - boxes_before)[object_]) ** 2)
        return {"coverage": _root_mean(coverage), "edge_px": _root_mean(edges), "scores": scores}

    def _answer(self, write: Callable[[Path], None]) -> tuple[dict[str, dict[str, float]], Answers]:
        """The scores of each data set, and the tensors of each image."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            write(path)
            engine: Engine = OnnxRuntimeEngine(
                path, self._spec, providers=["CPUExecutionProvider"], threads=self._threads
            )
        detector = Detector(self._spec, engine, score_threshold=SCORE_FLOOR)
        found: dict[str, Predictions] = {name: {} for name in self._truths}
        answers: Answers = []
        for data, name, tensor, geometry in self._images:
            coverage, boxes = (item[0] for item in engine.run(tensor))
            answers.append((coverage, boxes))
            found[data][name] = to_rows(detector.decode(coverage, boxes, geometry))
        result = {}
        for data, predictions in found.items():
            scores = score(self._truths[data], predictions, self._spec.score_threshold)
            result[data] = {
                "ap50": round(scores["ap50"], 4),
                "f1": round(scores["at_threshold"]["f1"], 4),
            }
        return result, answers


def evenly(names: list[str], most: int) -> list[str]:
    """At most ``most`` of ``names``, spread over all."""
    count = min(most, len(names))
    return [names[index * len(names) // count] for index in range(count)]


def _root_mean(squares: list[FloatArray]) -> float:
    joined = np.concatenate(squares)
    return round(float(np.sqrt(joined.mean())), 5) if len(joined) else 0.0
