"""One HTML page that shows a whole evaluation, beside that of another model where there is one."""

from __future__ import annotations

import os
from pathlib import Path

import jinja2

from palletjack_training.evaluation.frame_pictures import (
    MOST_FRAMES,
    choose_frames,
    count_frames,
    draw_frame,
    save_jpeg,
)
from palletjack_training.evaluation.ground_truth import GroundTruth
from palletjack_training.evaluation.judgement import Judged

_GALLERIES = (
    ("misses", "Missed", "Objects without a detection at the threshold, and the best score that they had."),
    ("false_alarms", "False alarms", "Detections of nothing, highest score first."),
    ("hits", "Found", "Highest score first."),
)


def write_page(folder: Path, truth: GroundTruth, data: str, ours: Judged, other: Judged | None) -> Path:
    """Write index.html, and frames/ with the pictures that it shows, into a report's ``folder``.

    Curves and galleries are those that ``write_report`` left there; what is missing is left out.
    """
    counts = count_frames(truth, ours.outcomes, ours.threshold)
    chosen = choose_frames(counts)
    columns = [ours] if other is None else [ours, other]
    (folder / "frames").mkdir(parents=True, exist_ok=True)
    frames = []
    for number, frame in enumerate(chosen):
        pictures = []
        for side, judged in enumerate(columns):
            picture = draw_frame(truth, frame.name, judged.predictions, judged.outcomes, judged.threshold)
            if picture is not None:
                path = folder / "frames" / f"{number:03d}_{'ab'[side]}.jpg"
                save_jpeg(picture, path)
                pictures.append({"path": f"frames/{path.name}", "title": judged.title})
        frames.append({"counts": frame, "pictures": pictures})
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("palletjack_training.evaluation"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    html = environment.get_template("report.html").render(
        data=data,
        images=len(counts),
        columns=columns,
        frames=frames,
        all_shown=len(chosen) == len(counts),
        most=MOST_FRAMES,
        galleries=[
            {"path": f"{name}.png", "title": title, "text": text}
            for name, title, text in _GALLERIES
            if (folder / f"{name}.png").is_file()
        ],
    )
    target = folder / "index.html"
    temporary = folder / f".{os.getpid()}.index.html"
    temporary.write_text(html, encoding="utf-8")
    os.replace(temporary, target)
    return target
