#!/usr/bin/env python3
"""Models on a few real photos, each seen 18 times, and whether one is better than another or only luckier.

    palletjack benchmark photo_views -- --data loco/annotations.json --out out/photo_views \\
        --model shipped=models/palletjack_lite:int8 --model "a trial=out/model:fp32"

A few dozen objects do not tell two networks apart: which of them a network just misses is chance. So each
photo is seen as `palletjack evaluate --views` sees it, and each model is compared with the first one on the
same draws of photos, in which what is hard for both cancels. Differences whose interval holds zero may be
chance.

Left in --out: result.json, table.md and picture.png.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from figure_file import save_figure
from machine import describe_machine
from matplotlib import pyplot
from model_table.rows import Row, add_options, parse_data, parse_rows
from result_file import rounded, write_measurement

from palletjack_training.evaluation.bootstrap import bootstrap_differences
from palletjack_training.evaluation.ground_truth import GroundTruth
from palletjack_training.evaluation.scoring import Outcomes
from palletjack_training.evaluation.views import VIEWS, look_at_views

AS_TAKEN = VIEWS[0].name


def measure(
    row: Row, truth: GroundTruth, first: tuple[Outcomes, float] | None, threads: int, seed: int
) -> tuple[dict[str, Any], Outcomes]:
    """A model's scores as taken and over all views, and how far they are from those of ``first``.

    ``first`` is the first model's outcomes over all views, and its threshold.
    """
    threshold = row.spec.score_threshold
    seen = look_at_views(row.load(threads), truth)
    views = seen.scores(threshold, np.random.default_rng(seed))
    pooled = seen.pooled
    result = {
        "name": row.name,
        "network": row.digest,
        "precision": row.precision,
        "as_taken": views["by_view"][AS_TAKEN],
        "views": views,
    }
    if first is not None:
        rng = np.random.default_rng(seed)
        result["difference_intervals_95"] = bootstrap_differences(
            pooled, first[0], (threshold, first[1]), rng
        )
    return rounded(result), pooled


def table(document: dict[str, Any]) -> str:
    """The measurement as Markdown."""
    first = document["rows"][0]
    lines = [
        f"| | As taken: AP50, F1 | Over {first['views']['views']} views: AP50 | Precision | Recall | F1 "
        "| F1 of the single views | F1 less the first's |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in document["rows"]:
        views, taken = row["views"], row["as_taken"]
        at, intervals = views["at_threshold"], views["intervals_95"]
        f1_span, ap_span = _span(intervals["f1"]), _span(intervals["ap50"])
        single = [view["f1"] for view in views["by_view"].values()]
        difference = ""
        if "difference_intervals_95" in row:
            low, high = row["difference_intervals_95"]["f1"]
            difference = f"{at['f1'] - first['views']['at_threshold']['f1']:+.3f} ({low:+.2f} to {high:+.2f})"
        lines.append(
            f"| {row['name']} | {taken['ap50']:.2f}, {taken['f1']:.2f} "
            f"| {views['ap50']:.3f} ({ap_span}) | {at['precision']:.2f} | {at['recall']:.2f} "
            f"| {at['f1']:.3f} ({f1_span}) | {min(single):.2f} to {max(single):.2f} "
            f"| {difference} |"
        )
    return "\n".join(lines) + "\n"


def _span(interval: Sequence[float]) -> str:
    return f"{interval[0]:.2f} to {interval[1]:.2f}"


def draw(document: dict[str, Any], path: Path) -> None:
    """F1 of each single view as a dot, over all views as a bar with its interval."""
    rows = document["rows"]
    figure, axis = pyplot.subplots(figsize=(8, 1.4 + 0.55 * len(rows)), layout="constrained")
    for number, row in enumerate(rows):
        views = row["views"]
        (low, high), f1 = views["intervals_95"]["f1"], views["at_threshold"]["f1"]
        axis.plot([low, high], [number, number], color=f"C{number}", lw=7, alpha=0.25, solid_capstyle="butt")
        single = [view["f1"] for view in views["by_view"].values()]
        axis.plot(single, number + np.linspace(-0.22, 0.22, len(single)), ".", color=f"C{number}", ms=5)
        axis.plot(row["as_taken"]["f1"], number, "o", mfc="none", mec="black", ms=8)
        axis.plot([f1, f1], [number - 0.34, number + 0.34], color=f"C{number}", lw=2.5)
    axis.set_yticks(range(len(rows)), [row["name"] for row in rows])
    axis.set(
        title="Bar: all views, with its 95 % interval over photos. Dots: single views. Ring: as taken",
        xlabel="F1 at the model's threshold",
    )
    axis.title.set_fontsize(10)
    axis.invert_yaxis()
    axis.grid(alpha=0.3, axis="x")
    save_figure(figure, path)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add_options(parser)
    parser.add_argument("--data", type=Path, required=True, help="Labelled photos.")
    parser.add_argument("--seed", type=int, default=0, help="Seed of the bootstrap.")
    options = parser.parse_args(arguments)
    rows: list[dict[str, Any]] = []
    first: tuple[Outcomes, float] | None = None
    try:
        data = parse_data(f"photos={options.data}", options.class_name)
        for row in [row for text in options.model for row in parse_rows(text)]:
            result, outcomes = measure(row, data.truth, first, options.threads, options.seed)
            print(f"{row.name}: F1 {result['views']['at_threshold']['f1']:.3f} over all views", flush=True)
            rows.append(result)
            first = first or (outcomes, row.spec.score_threshold)
    except ValueError as error:
        raise SystemExit(f"photo_views: {error}") from None
    document = {
        "benchmark": "photo_views",
        **describe_machine("onnxruntime", "numpy"),
        "data": {"images": len(data.truth.images), "labels": data.digest},
        "rows": rows,
    }
    write_measurement(document, table(document), draw, out=options.out, copy=options.json)


if __name__ == "__main__":
    main()
