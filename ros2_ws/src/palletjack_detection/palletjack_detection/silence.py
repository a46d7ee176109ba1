"""Why no image comes, as far as the graph tells: for one sentence on /diagnostics. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Offer:
    """What one publisher of the topic sends: ``message_type`` as "sensor_msgs/msg/Image"."""

    message_type: str
    reliable: bool


def why_silent(topic: str, wanted: Offer, offers: Sequence[Offer]) -> str:
    """Return what the publishers of ``topic`` have to do with no image of ``wanted`` coming in."""
    if not offers:
        return f"nobody publishes on {topic}"
    same_type = [offer for offer in offers if offer.message_type == wanted.message_type]
    if not same_type:
        found = ", ".join(sorted({offer.message_type for offer in offers}))
        return f"{topic} carries {found}, expected {wanted.message_type}: check image_topic, image_transport"
    if wanted.reliable and not any(offer.reliable for offer in same_type):
        return f"the publisher on {topic} is best effort: set reliability to best_effort"
    return f"{topic} has a publisher, which sends nothing"
