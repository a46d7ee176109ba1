#!/usr/bin/env python3
"""Whether a model's scores say how good its boxes are, from small objects to those that fill the image.

    palletjack benchmark score_by_size -- --out out/score_by_size \\
        --model "flagship=models/palletjack_lite:int8" --data "held-out=out/held_out" --data "close=out/close"

The threshold of a robot is one number for all objects. For objects of each length (the longest side of the
label, in pixels of the image) this gives the share that has a box of IoU 0.5 or more, the median IoU of the
best scored such box and the median of its score. Below, per data set, AP50, F1 at the model's threshold and
at the best one. Where scores fall while the IoU stays, a threshold loses objects that were found well.

Left in --out: result.json, table.md and picture.png, and what each model found, which is not computed again.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from figure_file import save_figure
from machine import describe_machine
from matplotlib import pyplot
from model_table.rows import LabelledData, Row, add_options, parse_data, parse_rows, predictions_of
from result_file import rounded, write_measurement

from palletjack_training.evaluation.predictions import Predictions
from palletjack_training.evaluation.scoring import overlap_shares, score

EDGES = (0, 40, 80, 150, 250, 350, 450, 600, 10_000)
LEAST_IOU = 0.5

# Longest side of an object (px), IoU and score of its best scored box; the last two are 0 where it has none.
Found = tuple[float, float, float]


def best_boxes(data: LabelledData, predictions: Predictions) -> list[Found]:
    """For each counted object of ``data`` the best scored box that fits it."""
    found: list[Found] = []
    for name, truth in data.truth.images.items():
        rows = np.array(predictions[name], np.float64).reshape(-1, 5)
        for item in truth.boxes:
            if item.difficult:
                continue
            x1, y1, x2, y2 = item.extents[0]
            iou, _ = overlap_shares(rows[:, :4], np.array(item.extents, np.float64))
            fit = iou.max(axis=1, initial=0.0)
            scores = np.where(fit >= LEAST_IOU, rows[:, 4], 0.0)
            best = int(scores.argmax()) if scores.any() else -1
            length = max(x2 - x1, y2 - y1)
            found.append((length, fit[best], scores[best]) if best >= 0 else (length, 0.0, 0.0))
    return found


def by_length(found: Sequence[Found]) -> list[dict[str, Any]]:
    """Objects, share with a box, median IoU and score, for each range of lengths that has objects."""
    table = np.array(found, np.float64).reshape(-1, 3)
    result = []
    for low, high in pairwise(EDGES):
        part = table[(table[:, 0] >= low) & (table[:, 0] < high)]
        with_box = part[part[:, 2] > 0]
        if len(part):
            result.append(
                {
                    "from_px": low,
                    "to_px": high,
                    "objects": len(part),
                    "share_with_box": round(len(with_box) / len(part), 3),
                    "median_iou": round(float(np.median(with_box[:, 1])), 3) if len(with_box) else None,
                    "median_score": round(float(np.median(with_box[:, 2])), 3) if len(with_box) else None,
                }
            )
    return result


def measure(row: Row, data: Sequence[LabelledData], out: Path, threads: int) -> dict[str, Any]:
    """Everything about one model, all data sets together by length, and each by itself."""
    found: list[Found] = []
    sets: dict[str, Any] = {}
    for part in data:
        predictions = predictions_of(row, part, out / "predictions", threads)
        found += best_boxes(part, predictions)
        result = score(part.truth.images, predictions, row.spec.score_threshold)
        sets[part.name] = {key: rounded(value) for key, value in result.items()}
    return {
        "name": row.name,
        "precision": row.precision,
        "threshold": row.spec.score_threshold,
        "by_length": by_length(found),
        "data": sets,
    }


def table(document: dict[str, Any]) -> str:
    """The measurement as Markdown: one table by length, one by data set."""
    rows = document["rows"]
    lines = ["| Longest side (px) | Objects |" + "".join(f" {row['name']} |" for row in rows)]
    lines += ["|---" * (2 + len(rows)) + "|"]
    for bins in zip(*(row["by_length"] for row in rows), strict=True):
        cells = "".join(
            f" {item['share_with_box']:.2f}, {item['median_iou'] or 0:.2f}, {item['median_score'] or 0:.2f} |"
            for item in bins
        )
        lines.append(f"| {_length(bins[0])} | {bins[0]['objects']} |{cells}")
    lines += ["", "Share with a box of IoU 0.5, median IoU, median score.", ""]
    lines += [
        "| | Data | AP50 | Recall, precision, F1 at the threshold | Best F1, at |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        for name, scores in row["data"].items():
            at, best = scores["at_threshold"], scores["at_best_f1"]
            lines.append(
                f"| {row['name']} | {name} | {scores['ap50']:.3f} "
                f"| {at['recall']:.2f}, {at['precision']:.2f}, {at['f1']:.2f} at {at['threshold']} "
                f"| {best['f1']:.2f}, {best['threshold']:.2f} |"
            )
    return "\n".join(lines) + "\n"


def _length(item: dict[str, Any]) -> str:
    if item["to_px"] == EDGES[-1]:
        return f"from {item['from_px']}"
    return f"{item['from_px']} to {item['to_px']}"


def draw(document: dict[str, Any], path: Path) -> None:
    """Median score and IoU against the longest side, a colour for each model."""
    figure, axis = pyplot.subplots(figsize=(8, 4.8), layout="constrained")
    for number, row in enumerate(document["rows"]):
        bins = [item for item in row["by_length"] if item["median_score"] is not None]
        middles = [(item["from_px"] + min(item["to_px"], 800)) / 2 for item in bins]
        colour = f"C{number}"
        axis.plot(middles, [item["median_score"] for item in bins], "o-", color=colour, label=row["name"])
        axis.plot(middles, [item["median_iou"] for item in bins], ":", color=colour)
        axis.axhline(row["threshold"], color=colour, lw=0.8, alpha=0.5)
    axis.set(
        title="Median score (dots), median IoU (dotted) and threshold (thin)",
        xlabel="longest side of the object (px)",
        ylim=(0, 1),
        xlim=(0, None),
    )
    axis.grid(alpha=0.3)
    axis.legend()
    save_figure(figure, path)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add_options(parser)
    parser.add_argument(
        "--data", action="append", required=True, help="NAME=PATH of labelled images; repeatable."
    )
    options = parser.parse_args(arguments)
    try:
        rows = [row for text in options.model for row in parse_rows(text)]
        data = [parse_data(text, options.class_name) for text in options.data]
        document: dict[str, Any] = {
            "benchmark": "score_by_size",
            **describe_machine("onnxruntime", "numpy"),
            "rows": [measure(row, data, options.out, options.threads) for row in rows],
        }
    except ValueError as error:
        raise SystemExit(f"score_by_size: {error}") from None
    write_measurement(document, table(document), draw, out=options.out, copy=options.json)


if __name__ == "__main__":
    main()
