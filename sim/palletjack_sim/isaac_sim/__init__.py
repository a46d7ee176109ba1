"""The closed loop in Isaac Sim: scene, robot, bridge graph and the script that drives them."""

from __future__ import annotations

from pathlib import Path


def data_folder() -> Path:
    """Folder of graph.yaml, robots.yaml and contract/."""
    return Path(__file__).parent
