"""Images from a topic, the newest of which waits for whoever has time for it.

rclpy's executor looks at every service and timer of a node before each message, which costs milliseconds for
an image that comes 20 times a second. Here a thread waits for the images alone, with the wait set that
`rclpy.wait_for_message` uses too, and takes them as bytes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.guard_condition import GuardCondition
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image

from palletjack_detection.newest_slot import NewestSlot
from palletjack_detection.silence import Offer, why_silent

# A wake-up for the case that the context ends and nobody closes the intake.
LONGEST_WAIT_NS = 1_000_000_000
PAUSE_AFTER_FAILURE_S = 0.1


class NotForTheExecutor(MutuallyExclusiveCallbackGroup):
    """Keeps the executor from taking the images; the subscription's events, as of QoS, stay with it."""

    def can_execute(self, entity: Any) -> bool:
        """Whether the executor may wait for ``entity``."""
        return not isinstance(entity, Subscription) and bool(super().can_execute(entity))


class ImageIntake:
    """Subscribes to ``topic`` and keeps the newest serialized message of ``kind``.

    Both callbacks run on the intake's thread: ``heard`` for each message, with whether an older one was
    dropped for it, and ``failed`` where the middleware could not deliver one.
    """

    def __init__(
        self,
        node: Node,
        kind: type[Image] | type[CompressedImage],
        topic: str,
        qos: QoSProfile,
        heard: Callable[[bool], None],
        failed: Callable[[Exception], None],
    ) -> None:
        self._node, self._kind, self._heard, self._failed = node, kind, heard, failed
        package = kind.__module__.split(".")[0]
        self._wanted = Offer(f"{package}/msg/{kind.__name__}", qos.reliability == ReliabilityPolicy.RELIABLE)
        self._slot: NewestSlot[bytes] = NewestSlot()
        self._closing = False
        group = NotForTheExecutor()
        self._wake = GuardCondition(None, group, context=node.context)
        self._subscription = node.create_subscription(
            kind, topic, self._never_called, qos, callback_group=group, raw=True
        )
        self._thread = threading.Thread(target=self._receive, name="images", daemon=True)
        self._thread.start()

    def take(self, due: Callable[[], float]) -> bytes | None:
        """Wait until ``due`` (time.monotonic) and for an image; the newest one, or None once closed."""
        return self._slot.take() if self._slot.wait_until(due) else None

    def wake(self) -> None:
        """Let ``take`` ask again when it is due."""
        self._slot.wake()

    def why_silent(self) -> str:
        """What the publishers of the topic have to do with no image coming in."""
        topic = self._subscription.topic_name
        offers = [
            Offer(found.topic_type, found.qos_profile.reliability == ReliabilityPolicy.RELIABLE)
            for found in self._node.get_publishers_info_by_topic(topic)
        ]
        return why_silent(topic, self._wanted, offers)

    def close(self) -> None:
        """End the subscription; what still waits is dropped, and ``take`` returns None."""
        self._closing = True
        self._slot.close()
        self._wake.trigger()
        self._thread.join(timeout=5.0)
        self._node.destroy_subscription(self._subscription)
        self._wake.destroy()

    def _receive(self) -> None:
        context, subscription = self._node.context, self._subscription.handle
        wait_set = rclpy_implementation.WaitSet(1, 1, 0, 0, 0, 0, context.handle)
        with wait_set, subscription, self._wake.handle:
            while not self._closing and context.ok():
                try:
                    self._receive_one(wait_set, subscription)
                except Exception as error:  # a thread that ends here would leave the node deaf
                    if self._closing or not context.ok():
                        return
                    self._failed(error)
                    time.sleep(PAUSE_AFTER_FAILURE_S)

    def _receive_one(self, wait_set: Any, subscription: Any) -> None:
        wait_set.clear_entities()
        wait_set.add_subscription(subscription)
        wait_set.add_guard_condition(self._wake.handle)
        wait_set.wait(LONGEST_WAIT_NS)
        if self._closing or not wait_set.get_ready_entities("subscription"):
            return
        # Ready is a promise that the middleware may not keep: there can be nothing to take.
        if (taken := subscription.take_message(self._kind, True)) is not None:
            self._heard(self._slot.put(taken[0]))

    def _never_called(self, message: bytes) -> None:
        raise AssertionError("the executor took an image")
