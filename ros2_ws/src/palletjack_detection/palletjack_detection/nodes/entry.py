"""The entry points of ``ros2 run palletjack_detection``.

Importing a node takes up to seconds on a robot. An interrupt that comes meanwhile ends it in order, as one
that comes later does: exit code 0, no traceback.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from importlib import import_module

from palletjack_detection.nodes.interrupts import end_on, ignore_all, interrupted


def start(module: str) -> int:
    """Import ``module``, run its ``main`` and return the exit code."""
    end_on(signal.SIGINT)
    try:
        main: Callable[[], int] = import_module(module).main
        return main()
    except (Exception, KeyboardInterrupt):
        if not interrupted():
            raise
        ignore_all()
        return 0


def _entry(name: str) -> Callable[[], int]:
    return lambda: start(f"palletjack_detection.nodes.{name}")


detector = _entry("detector_node")
approach = _entry("approach_node")
guard = _entry("guard_node")
locator = _entry("locator_node")
tracker = _entry("tracker_node")
visualizer = _entry("visualizer_node")
recorder = _entry("recorder_node")
image_folder = _entry("image_folder_node")
image_source = _entry("image_source_node")
detection_mapper = _entry("detection_mapper_node")
