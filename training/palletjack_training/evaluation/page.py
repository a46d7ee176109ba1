"""One HTML page that shows a whole evaluation, beside that of another model where there is one."""

from __future__ import annotations

import os
from pathlib import Path

import jinja2
import numpy as np

from palletjack_training.evaluation.frame_pictures import (
    MOST_FRAMES,
    choose_frames,
    count_frames,
    draw_frame,
    save_jpeg,
)
from palletjack_training.evaluation.ground_truth import GroundTruth
from palletjack_training.evaluation.judgement import Judged
from palletjack_training.evaluation.report import MOST_PER_KIND, gallery_tiles

_GALLERIES = (
    ("misses", "Missed", "Objects without a detection at the threshold, and the best score that they had."),
    ("false_alarms", "False alarms", "Detections of nothing, highest score first."),
    ("hits", "Found", "Highest score first."),
)


def write_page(folder: Path, truth: GroundTruth, data: str, ours: Judged, other: Judged | None) -> Path:
    """Write index.html, and frames/ with the pictures that it shows, into a report's ``folder``.

    Curves and galleries are those that ``write_report`` left there; what is missing is left out.
    """
    columns = [ours] if other is None else [ours, other]
    counts, *others = (count_frames(truth, item.outcomes, item.threshold) for item in columns)
    chosen = choose_frames(counts)
    by_name = [{frame.name: frame for frame in each} for each in (counts, *others)]
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
        frames.append({"counts": [each[frame.name] for each in by_name], "pictures": pictures})
    tiles = gallery_tiles(truth, ours.predictions, ours.outcomes, ours.threshold)
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
        scoreless=[item.title for item in columns if len(np.unique(item.outcomes.scores)) == 1],
        galleries=[
            {"path": f"{name}.png", "title": title, "text": text + _share(len(tiles[name][1]))}
            for name, title, text in _GALLERIES
            if (folder / f"{name}.png").is_file()
        ],
    )
    target = folder / "index.html"
    temporary = folder / f".{os.getpid()}.index.html"
    temporary.write_text(html, encoding="utf-8")
    os.replace(temporary, target)
    return target


def _share(count: int) -> str:
    """What is said where a gallery does not show all."""
    return f" The first {MOST_PER_KIND} of {count}." if count > MOST_PER_KIND else ""
