"""The picture of a run: a map with the track, and speed and distance over time."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull

from palletjack_sdg.scene import Instance
from palletjack_sdg.whole_file import write_whole
from palletjack_sim.episode import Episode
from palletjack_sim.recording import COLUMNS, Recording

ACTION_COLOURS = {"go": "#2a9d3a", "slow": "#e8a100", "stop": "#d0312d"}
TRUCK_COLOUR, OBJECT_COLOUR = "#d0312d", "#9aa3ad"


def plot_track(episode: Episode, recording: Recording, title: str, path: Path) -> None:
    """Draw the run to the PNG file ``path``."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    table = {name: [row[i] for row in recording.rows] for i, name in enumerate(COLUMNS)}
    figure = Figure(figsize=(9.6, 8.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(3, 1, gridspec_kw={"height_ratios": [2.2, 1, 1]})
    _draw_map(axes[0], episode, table)
    axes[0].set_title(title, loc="left", fontsize=10)
    _draw_speed(axes[1], table)
    _draw_distance(axes[2], episode, table)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    write_whole(path, buffer.getvalue())


def footprint(instance: Instance) -> NDArray[np.float64]:
    """Outline (N, 2) of an object on the floor, in the world: the convex hull of all its vertices."""
    vertices = np.concatenate([part.vertices for part in instance.prop.parts]).astype(np.float64)
    flat = (vertices @ instance.pose[:3, :3].T + instance.pose[:3, 3])[:, :2]
    return flat[ConvexHull(flat).vertices]


def _draw_map(ax, episode: Episode, table: dict[str, list]) -> None:  # type: ignore[no-untyped-def]
    room, robot = episode.scenario.room, episode.scenario.robot
    ax.set_facecolor("#f2f2f0")
    for instance in episode.world.instances:
        is_truck = instance.label is not None
        outline = footprint(instance)
        ax.fill(
            *outline.T,
            color=TRUCK_COLOUR if is_truck else OBJECT_COLOUR,
            alpha=0.85 if is_truck else 0.6,
            linewidth=0,
            label=None,
        )
    # What moves is filled where it was at the start and outlined where it is at the end.
    for instance in episode.world.instances:
        motion = episode.world.motions.get(instance.instance_id)
        if motion is not None:
            colour = TRUCK_COLOUR if instance.label is not None else OBJECT_COLOUR
            ax.plot(*motion.corners.T, "--", color=OBJECT_COLOUR, linewidth=1)
            ended = replace(instance, pose=motion.pose_at(table["t"][-1]))
            ax.fill(*footprint(ended).T, fill=False, edgecolor=colour, linewidth=1.2)
    x, y = np.array(table["x"]), np.array(table["y"])
    for action, colour in ACTION_COLOURS.items():
        chosen = np.array([value == action for value in table["action"]])
        if chosen.any():
            ax.scatter(x[chosen], y[chosen], s=7, color=colour, label=action, zorder=3)
    half = np.array([robot.length, robot.width]) / 2.0
    corners = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1], [1, 1]]) * half
    for index, style in ((0, ":"), (-1, "-")):
        sin, cos = np.sin(table["yaw"][index]), np.cos(table["yaw"][index])
        placed = corners @ np.array([[cos, sin], [-sin, cos]]) + [x[index], y[index]]
        ax.plot(*placed.T, style, color="#1f3a5f", linewidth=1.2, zorder=4)
    ax.plot(*episode.scenario.route.goal, "x", color="#1f3a5f", markersize=7, label="goal")
    ax.set_xlim(room.low[0], room.high[0])
    ax.set_ylim(room.low[1], room.high[1])
    ax.set_aspect("equal")
    moved = "; outlined: where what moves ended" if episode.world.motions else ""
    ax.set_xlabel(f"x (m); pallet trucks red, other objects grey{moved}")
    ax.set_ylabel("y (m)")
    _legend(ax)


def _draw_speed(ax, table: dict[str, list]) -> None:  # type: ignore[no-untyped-def]
    ax.plot(table["t"], table["raw_v"], color="#9aa3ad", linewidth=1, label="asked for")
    ax.step(table["t"], table["cmd_v"], where="post", color="#e8a100", linewidth=1, label="let through")
    ax.plot(table["t"], table["v"], color="#1f3a5f", linewidth=1.6, label="driven")
    ax.set_ylabel("speed (m/s)")
    _legend(ax)
    ax.grid(alpha=0.3)


def _draw_distance(ax, episode: Episode, table: dict[str, list]) -> None:  # type: ignore[no-untyped-def]
    if episode.truth.truck_ids:
        ax.plot(table["t"], table["truck_distance"], color="#1f3a5f", linewidth=1.6, label="true distance")
        ax.axhline(
            episode.scenario.criteria.min_clearance, color=TRUCK_COLOUR, linewidth=1, label="must stay free"
        )
    gaps = np.array(table["gap"], dtype=np.float64)
    gaps[~np.isfinite(gaps)] = np.nan
    ax.plot(table["t"], gaps, ".", markersize=3, color="#e8a100", label="gap that the guard believes in")
    ax.set_ylabel("distance (m)")
    ax.set_xlabel("simulated time (s)")
    ax.set_ylim(bottom=0.0)
    _legend(ax)
    ax.grid(alpha=0.3)


def _legend(ax) -> None:  # type: ignore[no-untyped-def]
    """Above the axes: inside them it would hide a part of the run."""
    ax.legend(loc="lower right", bbox_to_anchor=(1.0, 0.99), fontsize=8, ncols=4, frameon=False)
