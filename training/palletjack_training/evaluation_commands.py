"""`palletjack predict` and `palletjack evaluate`: the shipped model on images, and its score."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from palletjack_detection.detections import Detections
    from palletjack_detection.detector import Detector
    from palletjack_training.evaluation.ground_truth import GroundTruth
    from palletjack_training.evaluation.inference import FolderPredictions
    from palletjack_training.evaluation.judgement import Judged
    from palletjack_training.evaluation.predictions import Predictions

# Where reports go that nothing else is said of, and what may lie beside annotations to compare with.
DEFAULT_REPORTS = Path("out/evaluate")
REFERENCE = "reference_predictions.json"


def predict(
    model: Annotated[Path, typer.Option(help="Model folder (model.onnx and model.json).")],
    images: Annotated[Path, typer.Option(help="Folder of jpg, png or bmp images.")],
    out: Annotated[Path, typer.Option(help="JSON file to write.")],
    draw: Annotated[Path | None, typer.Option(help="Folder for copies with boxes drawn on.")] = None,
    threshold: Annotated[float, typer.Option(min=0.0, max=1.0, help="Lowest score to write.")] = 0.05,
    class_name: Annotated[str, typer.Option("--class", help="Class to write; the first if left out.")] = "",
    precision: Annotated[
        str, typer.Option(help="fp32, fp16 or int8; auto: what suits this machine.")
    ] = "auto",
    backend: Annotated[
        str, typer.Option(help="onnxruntime, tensorrt, tensorrt_rtx or auto.")
    ] = "onnxruntime",
) -> None:
    """Find pallet trucks in a folder of images.

    Writes `{"file": [[xmin, ymin, xmax, ymax, score], ...]}` in pixels of each image as stored. A file
    that cannot be read is named on stderr and left out; the exit code tells only whether any was read.
    Drawn copies show boxes from the model's own threshold up.

    Example: `palletjack predict --model models/palletjack_lite --images photos --out p.json --draw out/drawn`
    """
    from palletjack_detection.image_files import list_images
    from palletjack_training.evaluation.inference import predict_files
    from palletjack_training.evaluation.predictions import write_predictions

    with _errors_to_exit():
        if out.is_dir():
            raise ValueError(f"--out: expected a file to write, found the folder {out}")
        detector = _load(model, threshold, precision, backend)
        paths = list_images(images)
        if draw is not None and draw.resolve() == images.resolve():
            raise ValueError(f"--draw: expected another folder than --images, found {draw} for both")
        class_id = _class_id(detector, class_name)
        _make_folder(out.parent, "--out")
        painter = None if draw is None else _Painter(draw, max(threshold, detector.spec.score_threshold))
        result = predict_files(detector, paths, class_id=class_id, on_image=painter)
        _report_unreadable(result, len(paths))
        write_predictions(out, result.predictions)
    boxes = sum(map(len, result.predictions.values()))
    typer.echo(f"{boxes} boxes in {len(result.predictions)} images -> {out}")


def evaluate(
    data: Annotated[
        Path,
        typer.Option(help="annotations.json with images/ beside it, or a KITTI folder (images/, labels/)."),
    ],
    model: Annotated[Path | None, typer.Option(help="Model folder; not needed with --predictions.")] = None,
    predictions: Annotated[Path | None, typer.Option(help="Score this file instead of a model.")] = None,
    threshold: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="Operating threshold; the model's own, or 0.5 without a model."),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            help="Folder for curves, galleries and bootstrap intervals; out/evaluate/MODEL/DATA if left out."
        ),
    ] = None,
    no_report: Annotated[
        bool, typer.Option("--no-report", help="Print the numbers and write no page.")
    ] = False,
    class_name: Annotated[
        str, typer.Option("--class", help="Class to score; the model's first if left out.")
    ] = "",
    compare: Annotated[
        Path | None,
        typer.Option(
            help=f"Predictions file of another model, shown beside in the report; by default {REFERENCE} "
            "where the annotations have one beside them."
        ),
    ] = None,
    precision: Annotated[
        str, typer.Option(help="fp32, fp16 or int8; auto: what suits this machine.")
    ] = "auto",
    backend: Annotated[
        str, typer.Option(help="onnxruntime, tensorrt, tensorrt_rtx or auto.")
    ] = "onnxruntime",
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap.")] = 0,
    views: Annotated[
        bool, typer.Option("--views", help="Also mirrored, smaller, darker and brighter: 18 times as long.")
    ] = False,
    record: Annotated[
        bool,
        typer.Option(
            "--record", help="Keep the result in the model's model.json, by data set and precision."
        ),
    ] = False,
) -> None:
    """Score a model, or a predictions file, against labelled images.

    Prints AP50, AP50:95, precision, recall and F1, the same by height, AP as COCO and TAO compute it, and
    how many objects were detected twice, as JSON. A predicted box is a hit at IoU 0.5; difficult objects
    and DontCare regions count neither way. The report's index.html shows it all. With --views a few photos
    tell more: each counts 18 times, seen a little differently. With --record model.json has the result under
    metrics, by the name of the data set's folder; without it the model's folder is only read.

    Example: `palletjack evaluate --model models/palletjack_lite --data loco/annotations.json`
    """
    from palletjack_training.data_origin import data_name, describe_data
    from palletjack_training.evaluation.ground_truth import load_ground_truth
    from palletjack_training.evaluation.inference import SCORE_FLOOR, predict_files
    from palletjack_training.evaluation.judgement import judge
    from palletjack_training.evaluation.predictions import read_predictions
    from palletjack_training.evaluation.record import check_recordable, record_measurement

    folder = data if data.is_dir() else data.parent
    with _errors_to_exit():
        if model is None and predictions is None:
            raise ValueError("expected --model or --predictions, found neither")
        if views and (model is None or predictions is not None):
            raise ValueError("--views: expected --model alone, which looks at each view, found --predictions")
        if record:
            if model is None or predictions is not None:
                raise ValueError("--record: expected --model alone, which it is kept in, found --predictions")
            check_recordable(model, data_name(folder), class_name)
        if no_report and (report or compare) is not None:
            option = "--report" if report is not None else "--compare"
            raise ValueError(f"--no-report: expected no {option} beside it, which a report is for")
        if not no_report:
            report = report or _default_report(model or predictions or data, data)
            compare = compare or _reference_beside(data)
        detector = None if model is None else _load(model, SCORE_FLOOR, precision, backend)
        chosen = class_name or (detector.spec.classes[0] if detector else "palletjack")
        truth = load_ground_truth(data, class_name=chosen)
        if predictions is not None:
            rows = read_predictions(predictions, truth.images)
        else:
            assert detector is not None
            paths = [truth.image_dir / name for name in truth.images]
            result = predict_files(detector, paths, class_id=_class_id(detector, chosen))
            _report_unreadable(result, len(paths))
            rows = result.predictions
        if threshold is None:
            threshold = detector.spec.score_threshold if detector else 0.5
        if detector is not None and predictions is None:
            title = f"{detector.spec.name}, {detector.precision.upper()}, {detector.backend}"
        else:
            title = Path(predictions or "").stem
        intervals_seed = None if report is None and not record else seed
        judged = judge(title, truth, rows, threshold, intervals_seed=intervals_seed)
        described = describe_data(folder, len(truth.images), lambda text: typer.echo(text, err=True))
        judged = replace(judged, scores={"data": described, **judged.scores})
        if views:
            assert detector is not None
            seen = _score_views(detector, truth, threshold, seed, _class_id(detector, chosen))
            judged = replace(judged, scores={**judged.scores, "views": seen})
        if detector is not None and predictions is None:
            ran = {
                "model": detector.spec.name,
                "precision": detector.precision,
                "backend": detector.backend,
                "provider": detector.engine.provider,
            }
            judged = replace(judged, scores={**judged.scores, "ran": ran})
        typer.echo(json.dumps({k: v for k, v in judged.scores.items() if k != "intervals_95"}, indent=2))
        if report is not None:
            other = None
            if compare is not None:
                others = read_predictions(compare, truth.images)
                other = judge(compare.stem, truth, others, 0.5, intervals_seed=seed)
            _write_pages(report, data, truth, rows, judged, other, threshold)
        if record:
            assert detector is not None
            assert model is not None
            record_measurement(model, detector.spec, str(described["name"]), judged.scores)
            typer.echo(f"{model}: metrics.{described['name']}.{detector.precision}: recorded", err=True)


def _write_pages(
    report: Path,
    data: Path,
    truth: GroundTruth,
    rows: Predictions,
    judged: Judged,
    other: Judged | None,
    threshold: float,
) -> None:
    """Write curves, galleries and the page, and name them on stderr."""
    try:
        from palletjack_training.evaluation.page import write_page
        from palletjack_training.evaluation.report import write_report

        written = write_report(report, dict(judged.scores), truth, rows, judged.outcomes, threshold)
        written.append(write_page(report, truth, data.name, judged, other))
    except ImportError as error:
        raise ValueError(
            f"the page needs {error.name}: install 'palletjack[report]', or give --no-report"
        ) from error
    for path in written:
        typer.echo(f"wrote {path}", err=True)


def _default_report(scored: Path, data: Path) -> Path:
    folder = data.resolve().parent if data.is_file() else data.resolve()
    return DEFAULT_REPORTS / scored.resolve().stem / folder.name


def _reference_beside(data: Path) -> Path | None:
    """Another model's predictions that came with the annotations, as to compare with."""
    found = data.parent / REFERENCE
    return found if data.is_file() and found.is_file() else None


def _score_views(
    detector: Detector, truth: GroundTruth, threshold: float, seed: int, class_id: int
) -> dict[str, Any]:
    import numpy as np
    from rich.console import Console
    from rich.progress import Progress

    from palletjack_training.evaluation.views import look_at_views

    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("Views", total=len(truth.images))
        seen = look_at_views(detector, truth, class_id=class_id, on_image=lambda path: bar.advance(task))
    return seen.scores(threshold, np.random.default_rng(seed))


class _Painter:
    """Writes a copy of each image with the boxes that reach ``threshold``."""

    def __init__(self, folder: Path, threshold: float) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._threshold = folder, threshold

    def __call__(self, path: Path, rgb: NDArray[np.uint8], detections: Detections) -> None:
        from PIL import Image

        from palletjack_detection.drawing import draw_detections

        drawn = draw_detections(rgb, detections.above(self._threshold))
        Image.fromarray(drawn).save(self._folder / path.name, quality=92)


def _load(model: Path, threshold: float, precision: str, backend: str) -> Detector:
    from palletjack_detection.detector import Detector

    detector = Detector.load(
        model,
        score_threshold=threshold,
        precision=precision,
        backend=backend,
        say=lambda text: typer.echo(text, err=True),
    )
    floor = detector.spec.clustering.coverage_threshold
    if floor > threshold:
        typer.echo(f"{model}: clustering.coverage_threshold {floor:g} hides scores below it", err=True)
    return detector


def _class_id(detector: Detector, class_name: str) -> int:
    classes = detector.spec.classes
    if not class_name:
        return 0
    if class_name not in classes:
        raise ValueError(f"--class: expected one of {', '.join(classes)}, found '{class_name}'")
    return classes.index(class_name)


def _report_unreadable(result: FolderPredictions, total: int) -> None:
    """Name the files that could not be read, and give up where that is all of them."""
    for path, reason in result.unreadable.items():
        typer.echo(f"{path}: {reason}", err=True)
    if result.unreadable:
        typer.echo(f"skipped {len(result.unreadable)} of {total} images that could not be read", err=True)
    if not result.predictions:
        raise ValueError(f"expected at least one readable image, found none of {total}")


def _make_folder(folder: Path, option: str) -> None:
    """Make the folder of an output before the work, not after it: a wrong one must not cost the results."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"{option}: expected a path whose folder can be made, found {folder}: {error.strerror}"
        ) from None


@contextmanager
def _errors_to_exit() -> Iterator[None]:
    """Turn errors about the input into one line on stderr and exit code 1."""
    from palletjack_detection.engine import EngineError

    try:
        yield
    except (ValueError, EngineError, OSError) as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(1) from None
