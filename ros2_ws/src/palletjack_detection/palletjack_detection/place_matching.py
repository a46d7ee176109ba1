"""Which place belongs to which box, where all that links them is their order and what both say. Pure.

The locator answers a Detection2DArray with a Detection3DArray in the same order, without the boxes that it
could not place. vision_msgs has no field that names the box; ids are there only behind the tracker.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Label:
    """What a box and its place have in common; ``identity`` is empty where nothing is tracked."""

    class_id: str
    score: float
    identity: str = ""

    def fits(self, place: Label) -> bool:
        """Whether ``place`` can be this box's: the locator may have heard it before the tracker did."""
        same = (self.class_id, self.score) == (place.class_id, place.score)
        return same and place.identity in ("", self.identity)


def match_places(boxes: Sequence[Label], places: Sequence[Label]) -> dict[int, int]:
    """Return the index of the place of each box that surely has one, by the index of the box.

    Of two boxes that say the same, one may have no place. Then nobody can tell which: where the first and the
    last way to put all places in order do not agree on the box, none of them gets the place. Places that are
    not in the boxes' order have no match at all.
    """
    first = _earliest(boxes, places)
    backwards = _earliest(boxes[::-1], places[::-1])
    if first is None or backwards is None:
        return {}
    last = [len(boxes) - 1 - index for index in reversed(backwards)]
    return {box: place for place, (box, other) in enumerate(zip(first, last, strict=True)) if box == other}


def _earliest(boxes: Sequence[Label], places: Sequence[Label]) -> list[int] | None:
    """The earliest box for each place that keeps the order; None where there is no such way."""
    found: list[int] = []
    index = 0
    for place in places:
        while index < len(boxes) and not boxes[index].fits(place):
            index += 1
        if index == len(boxes):
            return None
        found.append(index)
        index += 1
    return found
