"""The table of an ablation: Markdown, and a picture of each row's distance from the first."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def markdown(rows: list[dict[str, Any]]) -> str:
    """The rows as a Markdown table; differences from the first row come with their 95 % intervals."""
    lines = [
        "| Row | Changed | Frames | AP50 held-out | Against the first row | AP50 photos "
        "| Against the first row | Best F1 photos |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [row["name"], row["change"], f"{row['frames']:,}"]
        for key in ("held_out", "photos"):
            cells += [_number(row.get(key), "ap50"), _difference(row, rows[0], key)]
        cells.append(_number(row.get("photos"), "best_f1"))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def beyond_chance(row: dict[str, Any], key: str) -> bool:
    """Whether the interval of the row's difference in AP50 on the data ``key`` leaves out zero."""
    interval = row.get(key, {}).get("difference_intervals_95")
    return interval is not None and (interval["ap50"][0] > 0 or interval["ap50"][1] < 0)


def _number(scores: dict[str, Any] | None, key: str) -> str:
    return f"{scores[key]:.3f}" if scores else ""


def _difference(row: dict[str, Any], first: dict[str, Any], key: str) -> str:
    interval = row.get(key, {}).get("difference_intervals_95")
    if interval is None:
        return ""
    low, high = interval["ap50"]
    text = f"{row[key]['ap50'] - first[key]['ap50']:+.3f} ({low:+.2f} to {high:+.2f})"
    return f"**{text}**" if beyond_chance(row, key) else text


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Dots of the AP50 on both data sets with their intervals; dashed, the first row."""
    from figure_file import save_figure
    from matplotlib import pyplot

    names = [row["name"] for row in rows]
    figure, panels = pyplot.subplots(
        1, 2, figsize=(11, 1.4 + 0.3 * len(names)), layout="constrained", sharey=True
    )
    for axes, key, label in zip(
        panels, ("held_out", "photos"), ("held-out frames", "real photos"), strict=True
    ):
        for place, row in enumerate(rows):
            if key not in row:
                continue
            value = row[key]["ap50"]
            low, high = row[key].get("intervals_95", {"ap50": (value, value)})["ap50"]
            colour = "tab:red" if beyond_chance(row, key) else "tab:blue"
            axes.plot([low, high], [place, place], color=colour, linewidth=1.2)
            axes.plot([value], [place], "o", color=colour, markersize=5)
        if key in rows[0]:
            axes.axvline(rows[0][key]["ap50"], color="0.6", linewidth=0.8, linestyle="--")
        axes.set_xlabel(f"AP50, {label}; red: differs from the first row beyond chance")
        axes.grid(axis="x", alpha=0.3)
    panels[0].set_yticks(range(len(names)), names)
    panels[0].invert_yaxis()
    save_figure(figure, path)
