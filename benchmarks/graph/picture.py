"""Loss and latency against the rate, and memory over time, as PNGs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from figure_file import save_figure
from matplotlib import pyplot


def draw(document: dict[str, Any], path: Path) -> None:
    """Draw what `palletjack benchmark node` measured: a column for each size, a colour for each node."""
    sizes = list(dict.fromkeys(run["size"] for node in document["nodes"] for run in node["sizes"]))
    figure, axes = pyplot.subplots(
        2, len(sizes), figsize=(1 + 5 * len(sizes), 7), squeeze=False, sharex="col"
    )
    for column, size in enumerate(sizes):
        loss, latency = axes[0][column], axes[1][column]
        for number, node in enumerate(document["nodes"]):
            for run in node["sizes"]:
                if run["size"] == size:
                    _lines(loss, latency, run["steps"], node["name"], f"C{number}")
        loss.axhline(100 * document["loss_limit"], color="0.5", lw=1, ls="--")
        loss.set(title=f"{size} rgb8", ylabel="images not answered (%)", ylim=(-3, 103))
        latency.set(xlabel="images sent a second", ylabel="stamp to detections (ms)")
        latency.set_ylim(bottom=0)
        latency.set_title("solid: median, dotted: 99th percentile", fontsize=9)
        for axis in (loss, latency):
            axis.grid(alpha=0.3)
        loss.legend()
    figure.suptitle(f"{document['device']}, {document['cpus']} CPUs, {document['rmw']}", fontsize=9)
    figure.tight_layout()
    save_figure(figure, path)


def draw_soak(document: dict[str, Any], path: Path) -> None:
    """Draw what `palletjack benchmark soak` measured: a column for each phase."""
    phases = document["phases"]
    figure, axes = pyplot.subplots(2, max(1, len(phases)), figsize=(1 + 5 * len(phases), 7), squeeze=False)
    for column, phase in enumerate(phases):
        memory, latency = axes[0][column], axes[1][column]
        samples = phase["samples"]
        memory.plot([s["at_s"] for s in samples], [s["memory_mb"] for s in samples], color="C0")
        middle = samples[0]["memory_mb"]
        # The same height in every picture, so that growth of a few MB looks the same everywhere.
        memory.set_ylim(min(middle - 10, *(s["memory_mb"] for s in samples)), None)
        memory.set_ylim(None, max(middle + 10, *(s["memory_mb"] for s in samples)))
        title = f"{phase['name']}: {phase['rate_hz']:g} images a second, {phase['memory_growth_mb']:+.1f} MB"
        memory.set(title=title, ylabel="resident memory (MB)")
        answered = [s for s in samples if s.get("latency_ms")]
        for key, style in (("p50", "-"), ("p99", ":")):
            values = [s["latency_ms"][key] for s in answered]
            latency.plot([s["at_s"] for s in answered], values, style, color="C1", label=key)
        latency.set(xlabel="seconds", ylabel="stamp to detections (ms)")
        latency.set_ylim(bottom=0)
        latency.legend()
        for axis in (memory, latency):
            axis.grid(alpha=0.3)
    figure.suptitle(f"{document['device']}, {document['cpus']} CPUs, {document['rmw']}", fontsize=9)
    figure.tight_layout()
    save_figure(figure, path)


def _lines(loss: Any, latency: Any, steps: list[dict[str, Any]], name: str, colour: str) -> None:
    ordered = sorted(steps, key=lambda step: float(step["sent_hz"]))
    rates = [step["sent_hz"] for step in ordered]
    loss.plot(rates, [100 * step["loss"] for step in ordered], marker="o", color=colour, label=name)
    answered = [step for step in ordered if step["latency_ms"]]
    rates = [step["sent_hz"] for step in answered]
    for key, style in (("p50", "-"), ("p99", ":")):
        latency.plot(rates, [s["latency_ms"][key] for s in answered], style, marker=".", color=colour)
