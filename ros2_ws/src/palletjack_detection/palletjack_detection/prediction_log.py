"""What the detector answered for each file of a folder, written as two JSON files.

``predictions.json`` has the form of ``palletjack predict``: {"file": [[xmin, ymin, xmax, ymax, score],
...]} in pixels of the file, but holds what the node published: boxes of every class from its
``score_threshold`` up. ``latency.json`` holds milliseconds from publishing an image to receiving
its detections, and the files that were skipped with the reason.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from palletjack_detection.detections import Detections


@dataclass
class PredictionLog:
    """Answers by file name, in the order they came."""

    predictions: dict[str, list[list[float]]] = field(default_factory=dict)
    latencies_ms: dict[str, float] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, detections: Detections, latency_ms: float) -> None:
        """Record the answer for the file ``name``; a second answer replaces the first."""
        rows = np.column_stack([detections.boxes, detections.scores]).astype(float)
        self.predictions[name] = [[round(value, 4) for value in row] for row in rows.tolist()]
        self.latencies_ms[name] = round(latency_ms, 3)

    def skip(self, name: str, reason: str) -> None:
        """Record that the file ``name`` could not be read."""
        self.skipped[name] = reason

    def latency_summary(self) -> dict[str, Any]:
        """Return count, mean, p50, p95 and p99 in milliseconds, every file's own, and what was skipped."""
        times = np.array(list(self.latencies_ms.values()))
        summary: dict[str, Any] = {"images": len(times)}
        if len(times):
            p50, p95, p99 = np.percentile(times, [50, 95, 99])
            figures = {"mean": times.mean(), "p50": p50, "p95": p95, "p99": p99}
            summary["publish_to_detections_ms"] = {k: round(float(v), 3) for k, v in figures.items()}
        return {**summary, "per_image_ms": self.latencies_ms, "skipped": self.skipped}

    def write(self, folder: Path) -> None:
        """Write both files into ``folder``, each complete or not at all; raises OSError."""
        folder.mkdir(parents=True, exist_ok=True)
        _write_json(folder / "predictions.json", self.predictions)
        _write_json(folder / "latency.json", self.latency_summary())


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in content.items()]
    temporary.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    os.replace(temporary, path)
