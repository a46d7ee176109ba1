"""A lifecycle node that a wrong request cannot kill."""

from __future__ import annotations

from typing import Any

from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn


class ManagedNode(LifecycleNode):
    """rclpy's LifecycleNode, which dies when it is asked for a transition that its state does not have.

    Two managers, or one that asks twice, are enough for that, in Humble and in Jazzy. Here such a request is
    answered with a failure.
    """

    # Replaces the mixin's private method, which its service calls by this name.
    def _LifecycleNodeMixin__change_state(self, transition_id: int) -> Any:
        try:
            return super()._LifecycleNodeMixin__change_state(transition_id)  # type: ignore[misc]
        except Exception as error:  # RCLError has no public name that both distributions share
            self.get_logger().warning(f"transition {transition_id} refused: {error}")
            return TransitionCallbackReturn.FAILURE
