"""A model's measurements as a table, and what does not fit into it in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from palletjack_detection.model_folder import ModelSpec
from palletjack_training.card.stages import entry_text
from palletjack_training.evaluation.record import measurements

_HEAD = (
    "| Data, at the threshold {threshold:g} | Ran | Boxes | AP50 | AP50:95 | Precision | Recall | F1 |",
    "|---|---|---|---|---|---|---|---|",
)


def measured_text(spec: ModelSpec) -> str:
    """The section's text; where nothing was recorded it says how that is done."""
    found = list(measurements(spec.metrics))
    if not found:
        return "Nothing is recorded; `palletjack evaluate --record` does."
    rows = [row for name, precision, scores in found for row in _rows(spec, name, precision, scores)]
    notes = [_note(name, precision, scores) for name, precision, scores in found]
    table = "\n".join([_HEAD[0].format(threshold=spec.score_threshold), _HEAD[1], *rows])
    intervals = "In brackets: 95 % bootstrap intervals over images."
    return "\n\n".join([table, intervals, "\n".join(notes)])


def _rows(spec: ModelSpec, name: str, precision: str, scores: Mapping[str, Any]) -> Iterator[str]:
    counts = scores["at_threshold"]
    data = entry_text({"name": name, "frames": scores.get("images"), **scores.get("data", {})}, "images")
    other = counts["threshold"] != spec.score_threshold
    data += f", at {counts['threshold']:g}" if other else ""
    provider = scores.get("ran", {}).get("provider")
    what = precision.upper() + (f", {provider}" if provider else "")
    yield _row([data, what, scores["boxes"], *_scores(scores)])
    if "views" in scores:
        views = scores["views"]
        each = views["at_threshold"]["tp"] + views["at_threshold"]["fn"]
        yield _row([f"the same in {views['views']} views each", what, each, *_scores(views)])


def _scores(scores: Mapping[str, Any]) -> list[str]:
    counts, intervals = scores["at_threshold"], scores.get("intervals_95", {})
    return [
        with_interval(scores["ap50"], intervals.get("ap50")),
        number(scores.get("ap50_95")),
        number(counts["precision"]),
        number(counts["recall"]),
        with_interval(counts["f1"], intervals.get("f1")),
    ]


def _note(name: str, precision: str, scores: Mapping[str, Any]) -> str:
    """Best threshold, heights and duplicates of one measurement."""
    counts, best = scores["at_threshold"], scores.get("at_best_f1", {})
    said = [f"{counts['tp']} hits, {counts['fp']} false alarms, {counts['fn']} misses"]
    if best.get("threshold") is not None:
        said.append(f"best F1 {number(best['f1'])} at {best['threshold']:.2f}")
    bands = [
        f"{_heights(*band['height_px'])} {number(band['ap50'])}"
        for band in scores.get("by_height", {}).values()
        if band["ap50"] is not None
    ]
    if bands:
        said.append(f"AP50 by height of the object in pixels: {', '.join(bands)}")
    if "duplicates" in scores:
        twice = scores["duplicates"]
        said.append(
            f"{twice['objects_detected_more_than_once']} of {twice['objects_detected']} detected objects "
            "more than once"
        )
    return f"- `{name}`, {precision.upper()}: {'; '.join(said)}."


def _heights(low: float, high: float | None) -> str:
    if high is None:
        return f"from {low:g}:"
    return f"{low:g} to {high:g}:" if low else f"under {high:g}:"


def with_interval(value: float | None, interval: Sequence[float | None] | None) -> str:
    """A number with two digits and, in brackets, its interval; empty for what was not measured."""
    if not interval:
        return number(value)
    return f"{number(value)} ({number(interval[0])} to {number(interval[1])})"


def number(value: float | None) -> str:
    """Two digits after the point; empty for what was not measured."""
    return "" if value is None else f"{value:.2f}"


def _row(cells: Sequence[object]) -> str:
    texts = [str(cell).replace("|", "/") for cell in cells]
    return f"|{'|'.join(f' {text} ' if text else ' ' for text in texts)}|"
