"""Where TF has the camera on the robot, and when that is not to be believed."""

from __future__ import annotations

import math
from typing import Any

from rclpy.node import Node
from rclpy.time import Time
from tf2_ros import Buffer, TransformException, TransformListener

from palletjack_detection.ground_range import CameraMount
from palletjack_detection.nodes.camera_messages import mount_from_transform
from palletjack_detection.nodes.stamps import seconds

# Stamps of one topic may change places; this far back it is another time, as after a simulation's reset.
BEGAN_ANEW_S = 1.0


class NoTransform(LookupError):
    """There is no transform that can be used; the message says why."""


class CameraTransforms:
    """The transforms from a camera's optical frame to ``base_frame``.

    tf2 ignores a transform that is older than what it has: after a clock was set back, it would go on
    answering with transforms of the time before.
    """

    def __init__(self, node: Node, base_frame: str) -> None:
        self._base_frame = base_frame
        self._buffer = Buffer()
        self._listener = TransformListener(self._buffer, node)
        self._latest = -math.inf

    def hear(self, stamp_s: float) -> None:
        """Take note of a message's time; where it goes back, what TF said before is forgotten."""
        if stamp_s < self._latest - BEGAN_ANEW_S:
            # Static transforms stay.
            self._buffer.clear()
            self._latest = stamp_s
        self._latest = max(self._latest, stamp_s)

    def at(self, camera_frame: str, stamp: Any) -> CameraMount:
        """The camera's place at ``stamp`` (builtin_interfaces/Time). Raises NoTransform."""
        return self._mount(camera_frame, Time.from_msg(stamp))[0]

    def newest(self, camera_frame: str, stamp: Any, max_age_s: float) -> CameraMount:
        """The newest place, where it is at most ``max_age_s`` from ``stamp``; a static one has no age.

        Raises NoTransform.
        """
        mount, of = self._mount(camera_frame, Time())
        age = seconds(stamp) - of
        if of != 0.0 and abs(age) > max_age_s:
            when = f"{age:.2f} s old" if age > 0 else f"{-age:.2f} s newer than the image"
            raise NoTransform(f"the transform from {camera_frame!r} to {self._base_frame!r} is {when}")
        return mount

    def _mount(self, camera_frame: str, when: Time) -> tuple[CameraMount, float]:
        """The place and its own time in seconds, 0 where it is static."""
        try:
            found = self._buffer.lookup_transform(self._base_frame, camera_frame, when)
            return mount_from_transform(found), seconds(found.header.stamp)
        except (TransformException, ValueError) as error:
            raise NoTransform(
                f"no transform from {camera_frame!r} to {self._base_frame!r}: {error}"
            ) from error
