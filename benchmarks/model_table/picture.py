"""The table as a picture: AP50 against milliseconds, a panel for each data set, and what the rows weigh."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from figure_file import save_figure
from matplotlib import pyplot


def draw(document: dict[str, Any], path: Path) -> None:
    """Draw a document of `palletjack benchmark compression`; bars are 95 % bootstrap intervals."""
    rows, data = document["rows"], document["data"]
    figure, axes = pyplot.subplots(
        1, len(data) + 1, figsize=(2 + 4.2 * (len(data) + 1), 4.6), squeeze=False, layout="constrained"
    )
    for axis, name in zip(axes[0], data, strict=False):
        for number, row in enumerate(rows):
            scores, time = row["scores"][name], row["latency_ms"]["network"]
            low, high = scores["intervals_95"]["ap50"]
            ap = scores["ap50"]
            axis.errorbar(
                time["p50"],
                ap,
                yerr=[[max(ap - low, 0.0)], [max(high - ap, 0.0)]],
                xerr=[[0.0], [max(time["p95"] - time["p50"], 0.0)]],
                fmt="o",
                color=f"C{number}",
                capsize=3,
                label=row["name"],
            )
        axis.set(
            title=f"{name}: {data[name]['images']} images, {data[name]['boxes']} objects",
            xlabel="ms for an image, the network alone (median to p95)",
            ylabel="AP50",
            ylim=(0, 1.02),
        )
        axis.set_xlim(left=0)
        axis.grid(alpha=0.3)
        axis.legend(loc="lower right", fontsize=8)
    _weights(axes[0][-1], rows)
    figure.suptitle(
        f"{document['device']}, {document['threads']} threads, ONNX Runtime {document['onnxruntime']}, "
        f"{document['date'][:10]}, {document['commit']}",
        fontsize=9,
    )
    save_figure(figure, path)


def _weights(axis: Any, rows: list[dict[str, Any]]) -> None:
    """Share of the first row's bytes, MACs and milliseconds."""
    shares = (
        ("bytes", [row["bytes"] / rows[0]["bytes"] for row in rows]),
        ("MACs", [row["macs"] / max(rows[0]["macs"], 1) for row in rows]),
        ("ms", [1 / row["ratios"]["faster"] for row in rows]),
    )
    height = 0.8 / len(shares)
    for place, (label, values) in enumerate(shares):
        at = [number + (place - 1) * height for number in range(len(rows))]
        axis.barh(at, values, 0.9 * height, label=label, color=f"{0.25 + 0.25 * place}")
    axis.set_yticks(range(len(rows)), [row["name"] for row in rows])
    axis.invert_yaxis()
    axis.set(title="share of the first row", xlim=(0, None))
    axis.grid(alpha=0.3, axis="x")
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.06), ncols=len(shares), fontsize=8)
