"""What each layer bears, as bars in the order of the network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from figure_file import save_figure
from matplotlib import pyplot


def draw(document: dict[str, Any], path: Path) -> None:
    """Draw a document of `palletjack benchmark sensitivity`; sets of layers stand below the single ones."""
    rows = document["changes"]
    data = list(document["images"])
    panels = [("coverage", "coverage, RMS"), ("edge_px", "box edges, RMS px"), *((name, "") for name in data)]
    figure, axes = pyplot.subplots(
        1, len(panels), figsize=(4 + 2.8 * len(panels), 1.6 + 0.19 * len(rows)), sharey=True,
        layout="constrained", squeeze=False,
    )  # fmt: skip
    colours = ["C0" if row["is_layer"] else "0.45" for row in rows]
    places = range(len(rows))
    for axis, (key, label) in zip(axes[0], panels, strict=True):
        if label:
            axis.barh(places, [row[key] for row in rows], color=colours)
        else:
            before = document["unchanged"][key]["ap50"]
            axis.barh(places, [row["scores"][key]["ap50"] - before for row in rows], color=colours)
            label = f"AP50 on {key}, change from {before:.3f}"
            axis.axvline(0, color="0.3", lw=0.8)
        axis.set_xlabel(label)
        axis.grid(alpha=0.3, axis="x")
    axes[0][0].set_yticks(places, [row["name"] for row in rows], fontsize=7)
    axes[0][0].set_ylim(len(rows) - 0.4, -0.6)
    counts = ", ".join(f"{count} {name}" for name, count in document["images"].items())
    figure.suptitle(
        f"{document['title']}; {counts}; {document['date'][:10]}, {document['commit']}", fontsize=9
    )
    save_figure(figure, path, dpi=100)
