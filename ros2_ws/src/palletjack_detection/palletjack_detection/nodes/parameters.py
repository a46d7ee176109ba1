"""Declaring parameters from their table, with description and range for `ros2 param describe`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node
from rclpy.parameter import Parameter

from palletjack_detection.nodes.parameter_spec import ParameterSpec

__all__ = ["ParameterSpec", "declare", "descriptor", "first_problem"]


def descriptor(spec: ParameterSpec) -> ParameterDescriptor:
    """Return what ``ros2 param describe`` shows of ``spec``."""
    made = ParameterDescriptor(
        name=spec.name,
        description=spec.description,
        additional_constraints=f"one of: {', '.join(spec.choices)}" if spec.choices else "",
        read_only=spec.fixed,
    )
    if spec.minimum is not None and spec.maximum is not None:
        low, high = spec.minimum, spec.maximum
        if isinstance(spec.default, float):
            made.floating_point_range = [FloatingPointRange(from_value=float(low), to_value=float(high))]
        else:
            made.integer_range = [IntegerRange(from_value=int(low), to_value=int(high), step=1)]
    return made


def declare(node: Node, specs: Sequence[ParameterSpec]) -> dict[str, Any]:
    """Declare ``specs`` on ``node`` and return the values by name.

    Raises:
        ValueError: a string is none of its choices.
        rclpy.exceptions.InvalidParameterValueException: a number is outside its range.
    """
    values = {}
    for spec in specs:
        value = node.declare_parameter(spec.name, spec.default, descriptor(spec)).value
        if problem := spec.problem(value):
            raise ValueError(problem)
        values[spec.name] = value
    return values


def first_problem(specs: Sequence[ParameterSpec], changes: Sequence[Parameter]) -> str:
    """Return the first thing wrong with ``changes`` (of a set-parameters call), or an empty string."""
    by_name = {spec.name: spec for spec in specs}
    for change in changes:
        spec = by_name.get(change.name)
        if spec is not None and (problem := spec.problem(change.value)):
            return problem
    return ""
