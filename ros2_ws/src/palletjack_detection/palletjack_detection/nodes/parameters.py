"""Parameters as a table: name, default, description and range in one place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node
from rclpy.parameter import Parameter


@dataclass(frozen=True)
class ParameterSpec:
    """One parameter. The type is that of ``default``; ``minimum`` and ``maximum`` are inclusive.

    ``choices`` are the only values of a string. ``fixed``: cannot be changed once the node runs.
    """

    name: str
    default: bool | int | float | str
    description: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    fixed: bool = False

    def descriptor(self) -> ParameterDescriptor:
        """Return what ``ros2 param describe`` shows."""
        constraint = f"one of: {', '.join(self.choices)}" if self.choices else ""
        descriptor = ParameterDescriptor(
            name=self.name,
            description=self.description,
            additional_constraints=constraint,
            read_only=self.fixed,
        )
        if self.minimum is not None and self.maximum is not None:
            if isinstance(self.default, float):
                descriptor.floating_point_range = [
                    FloatingPointRange(from_value=float(self.minimum), to_value=float(self.maximum))
                ]
            else:
                descriptor.integer_range = [
                    IntegerRange(from_value=int(self.minimum), to_value=int(self.maximum), step=1)
                ]
        return descriptor

    def problem(self, value: Any) -> str:
        """Return what is wrong with ``value``, or an empty string. ROS itself checks type and range."""
        if self.choices and value not in self.choices:
            return f"parameter {self.name}: expected one of {', '.join(self.choices)}; found {value!r}"
        return ""


def declare(node: Node, specs: Sequence[ParameterSpec]) -> dict[str, Any]:
    """Declare ``specs`` on ``node`` and return the values by name.

    Raises:
        ValueError: a string is none of its choices.
        rclpy.exceptions.InvalidParameterValueException: a number is outside its range.
    """
    values = {}
    for spec in specs:
        value = node.declare_parameter(spec.name, spec.default, spec.descriptor()).value
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
