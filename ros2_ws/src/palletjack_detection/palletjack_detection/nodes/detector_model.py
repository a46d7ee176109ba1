"""The detector node's model: which one its parameters name, and what the node says of it. Needs no ROS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from palletjack_detection.detector import Detector
from palletjack_detection.hysteresis import keep_threshold
from palletjack_detection.loading import DetectorSettings
from palletjack_detection.shipped_model import find_shipped_model, package_share


def check_classes(names: list[str] | None, detector: Detector) -> None:
    """Raise ValueError where one of ``names`` is no class of the model; none or an empty one: all."""
    known = detector.spec.classes
    unknown = [name for name in names or () if name and name not in known]
    if unknown:
        raise ValueError(f"parameter classes: expected names among {', '.join(known)}; found {unknown}")


def about(detector: Detector | None, keep: float) -> list[tuple[str, str]]:
    """Return what /diagnostics says of the model that is loaded; ``keep`` is the parameter keep_threshold."""
    if detector is None:
        return [("model", "none")]
    return [
        ("model", detector.spec.name),
        ("engine", detector.backend),
        ("precision", detector.precision),
        ("provider", detector.engine.provider),
        ("score_threshold", f"{detector.score_threshold:.3f}"),
        ("keep_threshold", f"{keep_threshold(detector.score_threshold, keep):.3f}"),
        ("clustering", detector.clustering.method),
    ]


def close(detector: Detector | None) -> None:
    """Give back at once what the engine holds outside of Python's memory."""
    if detector is not None and hasattr(detector.engine, "close"):
        detector.engine.close()


def detector_settings(settings: dict[str, Any], model_dir: str, score_threshold: float) -> DetectorSettings:
    """What to load, as the parameters say it: empty folder, negative threshold and 0 threads mean defaults.

    Raises:
        FileNotFoundError: the folder is empty and no model is shipped.
    """
    return DetectorSettings(
        Path(model_dir).expanduser() if model_dir else find_shipped_model(package_share()),
        score_threshold=None if score_threshold < 0 else score_threshold,
        threads=settings["threads"] or None,
        backend=settings["backend"],
        precision=settings["precision"],
        spinning=settings["spinning"],
        build_engine=settings["build_engine"],
    )
