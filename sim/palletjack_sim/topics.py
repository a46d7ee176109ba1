"""Reads the one file that names all topics and frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

TOPICS = (
    "clock",
    "image",
    "camera_info",
    "odometry",
    "transforms",
    "static_transforms",
    "command_raw",
    "command",
    "detections",
    "ground_truth",
    "ground_truth_labels",
    "ground_truth_3d",
    "guard_state",
)
FRAMES = ("odometry", "base", "camera")


@dataclass(frozen=True)
class TopicNames:
    """Topic and frame names by their role."""

    topics: Mapping[str, str]
    frames: Mapping[str, str]


def load_topics(path: Path) -> TopicNames:
    """Read config/topics.yaml; ValueError names the file and the entry that is missing or wrong."""
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: expected a YAML file of topic names, found {error}") from error
    topics, frames = {}, {}
    for role in TOPICS:
        name = _entry(data, "topics", role, path)
        if not isinstance(name, dict) or not isinstance(name.get("name"), str):
            raise ValueError(f"{path}: topics.{role}: expected a mapping with a name, found {name!r}")
        topics[role] = name["name"]
    for role in FRAMES:
        frame = _entry(data, "frames", role, path)
        if not isinstance(frame, str):
            raise ValueError(f"{path}: frames.{role}: expected a frame name, found {frame!r}")
        frames[role] = frame
    return TopicNames(topics, frames)


def _entry(data: object, section: str, role: str, path: Path) -> object:
    entries = data.get(section) if isinstance(data, dict) else None
    if not isinstance(entries, dict) or role not in entries:
        raise ValueError(f"{path}: {section}.{role}: expected an entry, found none")
    return entries[role]
