"""The time of a message as one number."""

from __future__ import annotations

from builtin_interfaces.msg import Time


def seconds(stamp: Time) -> float:
    """Return ``stamp`` in seconds since the epoch of its clock."""
    return float(stamp.sec) + float(stamp.nanosec) * 1e-9
