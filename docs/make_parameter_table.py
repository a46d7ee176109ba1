"""Write the parameter tables of the package's README again: `python docs/make_parameter_table.py`."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from palletjack_detection.nodes import (
    detector_parameters,
    guard_parameters,
    locator_parameters,
    mapper_parameters,
    recorder_parameters,
    source_parameters,
    tracker_parameters,
    visualizer_parameters,
)
from palletjack_detection.nodes.parameter_spec import ParameterSpec

PAGE = Path(__file__).resolve().parents[1] / "ros2_ws" / "src" / "palletjack_detection" / "README.md"
NODES: dict[str, Sequence[ParameterSpec]] = {
    "palletjack_detector": detector_parameters.PARAMETERS,
    "detection_mapper": mapper_parameters.PARAMETERS,
    "image_source": source_parameters.PARAMETERS,
    "image_folder": source_parameters.FOLDER_PARAMETERS,
    "palletjack_tracker": tracker_parameters.PARAMETERS,
    "palletjack_locator": locator_parameters.PARAMETERS,
    "palletjack_visualizer": visualizer_parameters.PARAMETERS,
    "palletjack_recorder": recorder_parameters.PARAMETERS,
    "palletjack_guard": (*guard_parameters.WIRING, *guard_parameters.BEHAVIOUR),
}


def table(specs: Sequence[ParameterSpec]) -> str:
    """Return a Markdown table of ``specs``."""
    lines = ["| Parameter | Default | Values | At run time | |", "|---|---|---|---|---|"]
    for spec in specs:
        default = f"`{json.dumps(spec.default)}`"
        run_time = "" if spec.fixed else "yes"
        lines.append(f"| `{spec.name}` | {default} | {values(spec)} | {run_time} | {spec.description} |")
    return "\n".join(lines)


def values(spec: ParameterSpec) -> str:
    """Return what a parameter may be."""
    if spec.choices:
        return ", ".join(f"`{choice}`" for choice in spec.choices)
    if spec.minimum is not None and spec.maximum is not None:
        return f"{spec.minimum:g} to {spec.maximum:g}"
    return {bool: "true, false", list: "names"}.get(type(spec.default), "text")


def page_with_tables(text: str) -> str:
    """Return the page ``text`` with the tables of all nodes replaced."""
    for node, specs in NODES.items():
        begin, end = f"<!-- parameters of {node}: begin -->", f"<!-- parameters of {node}: end -->"
        head, rest = text.split(begin)
        text = f"{head}{begin}\n{table(specs)}\n{end}{rest.split(end)[1]}"
    return text


if __name__ == "__main__":
    temporary = PAGE.with_name(f".{PAGE.name}.{os.getpid()}")
    temporary.write_text(page_with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    os.replace(temporary, PAGE)
