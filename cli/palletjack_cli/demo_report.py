"""The demo's page and summary: what each step left on disk, gathered and drawn."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np
from numpy.typing import NDArray

from palletjack_cli.repository import commit_id, repository_root
from palletjack_detection.drawing import draw_box
from palletjack_detection.image_files import read_image
from palletjack_detection.model_folder import load_model_spec
from palletjack_sdg.kitti import read_labels
from palletjack_sim.verdict import RunResult

LABEL_COLOUR = (64, 224, 96)
IGNORED_COLOUR = (150, 150, 150)
DETECTION_COLOUR = (255, 64, 160)
SHOWN_WIDTH = 960
_VERSIONED = ("palletjack", "numpy", "onnxruntime", "mitsuba", "mujoco", "opencv-python-headless")


@dataclass(frozen=True)
class Summary:
    """The demo in numbers. Latencies in milliseconds from publishing an image to its boxes."""

    date: str
    seconds: float
    frames: int
    labels: int
    detections: int
    images: int
    closed_loop: dict[str, Any]
    latency_ms: dict[str, float]
    versions: dict[str, str]

    def document(self) -> dict[str, Any]:
        """Return what summary.json holds; the page alone says when the demo ran and for how long."""
        return {key: value for key, value in asdict(self).items() if key not in ("date", "seconds")}

    def describe(self) -> str:
        """Return two lines for the terminal."""
        loop = self.closed_loop
        clearance = (
            "no truck" if loop["min_clearance_m"] is None else f"{loop['min_clearance_m']:.2f} m clear"
        )
        return (
            f"{self.frames} frames with {self.labels} pallet trucks; {self.detections} detections in "
            f"{self.images} images, {self.latency_ms['p50']:.0f} ms median\n"
            f"closed loop: {loop['verdict']}, {clearance}, {loop['collisions']} collisions; "
            f"{self.seconds:.0f} s in all"
        )


def write(
    *,
    out: Path,
    recipe: str,
    dataset: Path,
    photos: Path,
    detections: Path,
    closed_loop: Path,
    model: Path,
    seconds: float,
) -> Summary:
    """Write ``out``/index.html, summary.json and the pictures they show; return the summary.

    Raises FileNotFoundError or ValueError, naming the file, where a step left nothing to report.
    """
    pictures = out / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    frames, labels = draw_frames(dataset, pictures)
    predictions = read_json(detections / "predictions.json")
    latency = read_json(detections / "latency.json")
    spec = load_model_spec(model)
    if "publish_to_detections_ms" not in latency:
        raise ValueError(f"{detections / 'latency.json'}: expected the latency of at least one image")
    shown, count = draw_predictions(photos, predictions, pictures)
    loop = RunResult.read(closed_loop / "result.json")
    summary = Summary(
        date=datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        seconds=round(seconds, 1),
        frames=len(frames),
        labels=labels,
        detections=count,
        images=len(predictions),
        closed_loop={
            "verdict": loop.verdict,
            "min_clearance_m": loop.min_clearance_m,
            "collisions": loop.collisions,
        },
        latency_ms={key: float(latency["publish_to_detections_ms"][key]) for key in ("p50", "p99")},
        versions=versions(),
    )
    page = (
        environment()
        .get_template("demo.html")
        .render(
            summary=summary,
            recipe=recipe,
            dataset=os.path.relpath(dataset, out),
            frames=frames,
            photos=shown,
            model=spec.name,
            threshold=spec.score_threshold,
            skipped=sorted(latency.get("skipped", {})),
            loop=loop_section(loop, closed_loop, out),
            latencies=latency_rows(latency, loop),
        )
    )
    write_text(out / "index.html", page)
    write_text(out / "summary.json", json.dumps(summary.document(), indent=2) + "\n")
    return summary


def draw_frames(dataset: Path, pictures: Path) -> tuple[list[dict[str, str]], int]:
    """Draw every frame of a KITTI data set with its labels; return the page's entries and the label count."""
    entries: list[dict[str, str]] = []
    labels = 0
    for path in sorted((dataset / "images").iterdir()):
        objects = read_labels(dataset / "labels" / f"{path.stem}.txt")
        canvas = read_rgb(path)
        for item in objects:
            ignored = item.class_name == "DontCare"
            draw_box(canvas, item.box, "", IGNORED_COLOUR if ignored else LABEL_COLOUR)
        counted = sum(item.class_name != "DontCare" for item in objects)
        labels += counted
        name = f"frame_{path.stem}.jpg"
        write_jpeg(pictures / name, canvas)
        plural = "" if counted == 1 else "s"
        entries.append(
            {"path": f"pictures/{name}", "caption": f"{path.name} · {counted} pallet truck{plural}"}
        )
    if not entries:
        raise FileNotFoundError(f"{dataset / 'images'}: expected rendered frames, found none")
    return entries, labels


def draw_predictions(
    photos: Path, predictions: Mapping[str, list[list[float]]], pictures: Path
) -> tuple[list[dict[str, str]], int]:
    """Draw the node's answers on the images it was given; return the page's entries and the box count."""
    entries: list[dict[str, str]] = []
    count = 0
    for index, (name, boxes) in enumerate(sorted(predictions.items())):
        canvas = read_rgb(photos / name)
        scale = min(1.0, SHOWN_WIDTH / canvas.shape[1])
        if scale < 1.0:
            canvas = cv2.resize(canvas, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
        for *box, score in sorted(boxes, key=lambda row: row[4]):
            draw_box(canvas, tuple(scale * value for value in box), f"{score:.2f}", DETECTION_COLOUR)
        count += len(boxes)
        file = f"photo_{index:03d}.jpg"
        write_jpeg(pictures / file, canvas)
        scores = ", ".join(f"{box[4]:.2f}" for box in boxes) or "nothing found"
        entries.append({"path": f"pictures/{file}", "caption": f"{name} · {scores}"})
    return entries, count


def loop_section(loop: RunResult, folder: Path, out: Path) -> dict[str, Any]:
    """Return what the page says about the closed loop: a sentence, the track, the deciding moments."""
    stopped = f"It stopped at {loop.stop_time_s:.1f} s. " if loop.stop_time_s is not None else ""
    recall = (
        f" and saw the truck in {100 * loop.recall:.0f}% of the frames that showed it"
        if loop.recall is not None
        else ""
    )
    sentence = (
        f"The robot drove {loop.distance_m:.1f} m in {loop.duration_s:.0f} simulated seconds on its own "
        f"detections ({loop.camera_quality.replace('_', ' ')} camera){recall}. {stopped}"
        f"The simulation ran at {loop.real_time_factor:.2f} times real time."
    )
    here = os.path.relpath(folder, out)
    moments = [
        {"path": f"{here}/frames/{name}", "caption": Path(name).stem.split("_", 1)[-1].replace("_", " ")}
        for name in loop.moments
        if (folder / "frames" / name).is_file()
    ]
    return {
        "scenario": loop.scenario,
        "sentence": sentence,
        "reasons": loop.reasons,
        "track": f"{here}/track.png" if (folder / "track.png").is_file() else None,
        "moments": moments,
    }


def latency_rows(latency: Mapping[str, Any], loop: RunResult) -> list[dict[str, Any]]:
    """Return the rows of the latency table."""
    rows = [{"stage": "photos: image published to boxes received", **latency["publish_to_detections_ms"]}]
    if loop.latency_ms:
        rows.append({"stage": "closed loop: image published to boxes received", **loop.latency_ms})
    return rows


def versions() -> dict[str, str]:
    """Return the versions that a reader needs to make sense of the numbers."""
    found = {
        "commit": commit_id(repository_root()),
        "device": f"{platform.machine()}, {os.cpu_count()} cores",
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "ros": os.environ.get("ROS_DISTRO", "jazzy (pip)"),
    }
    for name in _VERSIONED:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def environment() -> jinja2.Environment:
    """Return the template engine, which escapes everything that comes from file names."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("palletjack_cli"), autoescape=True, undefined=jinja2.StrictUndefined
    )


def read_json(path: Path) -> Any:
    """Return the content of a JSON file; ValueError names the file where it is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: expected JSON, found {error}") from error


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """Return an image as RGB (H, W, 3), read as the detector reads it."""
    return np.array(read_image(path))


def write_jpeg(path: Path, rgb: NDArray[np.uint8]) -> None:
    """Write an RGB image."""
    if not cv2.imwrite(str(path), rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90]):
        raise OSError(f"{path}: the picture could not be written")


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    # A file name need not be UTF-8; what of it is not becomes a question mark.
    temporary.write_bytes(text.encode("utf-8", errors="replace"))
    os.replace(temporary, path)
