"""A row of the table: one network of a model folder, what it costs and how it scores."""

from __future__ import annotations

import argparse
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from result_file import rounded, write_json

from palletjack_detection.detector import Detector
from palletjack_detection.model_folder import JSON_NAME, PRECISIONS, ModelSpec, load_model_spec, sha256_of
from palletjack_training.evaluation.bootstrap import bootstrap_differences, bootstrap_intervals
from palletjack_training.evaluation.ground_truth import GroundTruth
from palletjack_training.evaluation.inference import SCORE_FLOOR, predict_files
from palletjack_training.evaluation.predictions import Predictions
from palletjack_training.evaluation.scoring import Outcomes, match, score
from palletjack_training.onnx_cost import onnx_cost

FORMAT = "palletjack-model-table/1"


@dataclass(frozen=True)
class Row:
    """A network by the name that the table gives it."""

    name: str
    folder: Path
    precision: str
    spec: ModelSpec

    @property
    def network(self) -> Path:
        """The file that ONNX Runtime runs on a processor."""
        return self.folder / self.spec.network_file(self.precision, "cpu")

    @property
    def digest(self) -> str:
        """What a measurement of this row holds for: the network, and how it is fed and read."""
        return f"{sha256_of(self.network)[:16]}-{sha256_of(self.folder / JSON_NAME)[:16]}"

    def load(self, threads: int) -> Detector:
        """The robot's detector on the processor, with all scores that a curve needs."""
        return Detector.load(
            self.folder,
            providers=["CPUExecutionProvider"],
            score_threshold=SCORE_FLOOR,
            threads=threads,
            precision=self.precision,
        )

    def cost(self) -> dict[str, Any]:
        """Parameters, MACs for one image and bytes of the file.

        Counted in the FP32 graph: that for a processor may hold channels of zeros besides.
        """
        cost = onnx_cost(self.folder / self.spec.network_file("fp32"))
        return {
            "file": self.network.name,
            "bytes": self.network.stat().st_size,
            "parameters": cost.parameters,
            "macs": cost.macs,
        }


@dataclass(frozen=True)
class LabelledData:
    """A data set by the name that the table gives it. ``digest`` is of its labels and its files."""

    name: str
    truth: GroundTruth
    digest: str


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a benchmark that measures rows: which, of what class, and where the result goes."""
    parser.add_argument("--out", type=Path, required=True, help="Folder for the results.")
    parser.add_argument(
        "--model", action="append", required=True, help="NAME=FOLDER[:PRECISION]; repeatable."
    )
    parser.add_argument("--class", dest="class_name", default="palletjack", help="Class to look at.")
    parser.add_argument("--threads", type=int, default=2, help="Threads of ONNX Runtime.")
    parser.add_argument("--json", type=Path, help="Write the result here as well.")


def parse_rows(text: str) -> list[Row]:
    """The rows of NAME=FOLDER or NAME=FOLDER:PRECISION; without a precision, all that the folder has.

    Raises ValueError for another form or a precision that the folder lacks, ModelFolderError for no model.
    """
    name, cross, place = text.partition("=")
    folder, _, precision = place.rpartition(":")
    if precision not in PRECISIONS:
        folder, precision = place, ""
    if not (name and cross and folder):
        raise ValueError(f"--model: expected NAME=FOLDER or NAME=FOLDER:PRECISION, found {text!r}")
    spec = load_model_spec(Path(folder))
    if precision:
        spec.network_file(precision, "cpu")
        return [Row(name, Path(folder), precision, spec)]
    held = [kind for kind in ("fp32", "int8") if kind in spec.precisions]
    return [
        Row(f"{name} {kind.upper()}" if len(held) > 1 else name, Path(folder), kind, spec) for kind in held
    ]


def parse_data(text: str, class_name: str) -> LabelledData:
    """The data set of NAME=PATH. Raises ValueError for another form, GroundTruthError for no data set."""
    from palletjack_training.evaluation.ground_truth import load_ground_truth

    name, cross, place = text.partition("=")
    if not (name and cross and place):
        raise ValueError(f"--data: expected NAME=PATH, found {text!r}")
    truth = load_ground_truth(Path(place), class_name=class_name)
    digest = hashlib.sha256()
    for image, labels in truth.images.items():
        path = truth.image_dir / image
        digest.update(f"{image} {labels} {path.stat().st_size if path.is_file() else 0}\n".encode())
    return LabelledData(name, truth, digest.hexdigest()[:16])


def predictions_of(row: Row, data: LabelledData, folder: Path, threads: int) -> Predictions:
    """What ``row`` finds in ``data``: read from ``folder`` where it was found before."""
    key = f"{row.digest}-{data.digest}"
    path = folder / f"{key}.json"
    if path.is_file():
        stored: Predictions = json.loads(path.read_text())["predictions"]
        return stored
    images = [data.truth.image_dir / name for name in data.truth.images]
    result = predict_files(row.load(threads), images)
    if result.unreadable:
        path, reason = next(iter(result.unreadable.items()))
        raise ValueError(f"{path}: {reason} ({len(result.unreadable)} of {len(images)} cannot be read)")
    content = {"format": FORMAT, "row": row.name, "data": data.name, "predictions": result.predictions}
    write_json(path, content)
    return result.predictions


def judge(
    row: Row,
    data: LabelledData,
    predictions: Predictions,
    first: tuple[Outcomes, float] | None,
    seed: int,
) -> tuple[dict[str, Any], Outcomes]:
    """AP50 and F1 at the row's own threshold with their intervals, and their distance from the first row's.

    ``first`` is that row's outcomes on the same data, and its threshold.
    """
    threshold = row.spec.score_threshold
    scores = score(data.truth.images, predictions, threshold)
    outcomes = match(data.truth.images, predictions)
    result = {
        "images": scores["images"],
        "boxes": scores["boxes"],
        "threshold": threshold,
        **{key: round(scores[key], 4) for key in ("ap50", "ap50_95")},
        **{key: round(scores["at_threshold"][key], 4) for key in ("precision", "recall", "f1")},
        "intervals_95": rounded(bootstrap_intervals(outcomes, threshold, np.random.default_rng(seed))),
    }
    if first is not None:
        reference, other = first
        rng = np.random.default_rng(seed)
        difference = bootstrap_differences(outcomes, reference, (threshold, other), rng)
        result["difference_intervals_95"] = rounded(difference)
    return result, outcomes
