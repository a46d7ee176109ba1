"""Boxes as Foxglove draws them, for a bag: foxglove_msgs/ImageAnnotations and visualization_msgs/MarkerArray.

It does not draw vision_msgs. The package foxglove_msgs need not be installed: a bag carries the definitions
of its types.
"""

from __future__ import annotations

from typing import Any

from rclpy.serialization import deserialize_message, serialize_message
from vision_msgs.msg import Detection2D, Detection2DArray, Detection3DArray
from visualization_msgs.msg import Marker, MarkerArray

BOXES, BOXES_IN_SPACE = "vision_msgs/msg/Detection2DArray", "vision_msgs/msg/Detection3DArray"
MARKERS = "visualization_msgs/msg/MarkerArray"
ANNOTATIONS = "foxglove_msgs/msg/ImageAnnotations"
POINTS, TEXT = "foxglove_msgs/msg/PointsAnnotation", "foxglove_msgs/msg/TextAnnotation"
POINT, COLOUR = "foxglove_msgs/msg/Point2", "foxglove_msgs/msg/Color"
LINE_LOOP = 2
THICKNESS_PX = 2.0
FONT_PX = 14.0
Colour = tuple[float, float, float, float]
DETECTED: Colour = (1.0, 0.2, 0.6, 1.0)
TRUE: Colour = (1.0, 1.0, 1.0, 1.0)
NONE: Colour = (0.0, 0.0, 0.0, 0.0)
OPACITY = 0.4
FIELDS = {
    "Point2": ("float64 x", "float64 y"),
    "Color": ("float64 r", "float64 g", "float64 b", "float64 a"),
    "CircleAnnotation": (
        "builtin_interfaces/Time timestamp",
        "foxglove_msgs/Point2 position",
        "float64 diameter",
        "float64 thickness",
        "foxglove_msgs/Color fill_color",
        "foxglove_msgs/Color outline_color",
    ),
    "PointsAnnotation": (
        "builtin_interfaces/Time timestamp",
        "uint8 type",
        "foxglove_msgs/Point2[] points",
        "foxglove_msgs/Color outline_color",
        "foxglove_msgs/Color[] outline_colors",
        "foxglove_msgs/Color fill_color",
        "float64 thickness",
    ),
    "TextAnnotation": (
        "builtin_interfaces/Time timestamp",
        "foxglove_msgs/Point2 position",
        "string text",
        "float64 font_size",
        "foxglove_msgs/Color text_color",
        "foxglove_msgs/Color background_color",
    ),
    "ImageAnnotations": (
        "foxglove_msgs/CircleAnnotation[] circles",
        "foxglove_msgs/PointsAnnotation[] points",
        "foxglove_msgs/TextAnnotation[] texts",
    ),
}


def boxes_to_markers(data: bytes) -> bytes:
    """Serialized markers for the serialized Detection3DArray ``data``; the first one clears the former."""
    message = deserialize_message(data, Detection3DArray)
    drawn = MarkerArray(markers=[Marker(header=message.header, action=Marker.DELETEALL)])
    for number, item in enumerate(message.detections):
        box = Marker(header=message.header, ns="boxes", id=number, type=Marker.CUBE, action=Marker.ADD)
        box.pose, box.scale = item.bbox.center, item.bbox.size
        box.color.r, box.color.g, box.color.b, _ = TRUE
        box.color.a = OPACITY
        drawn.markers.append(box)
    return bytes(serialize_message(drawn))


class Annotator:
    """Makes annotations in ``types``, a typestore of rosbags."""

    def __init__(self, types: Any) -> None:
        from rosbags.typesys import get_types_from_msg

        self._types = types
        for name, lines in FIELDS.items():
            types.register(get_types_from_msg("\n".join(lines), f"foxglove_msgs/msg/{name}"))

    def annotate(self, data: bytes, colour: Colour) -> bytes:
        """Serialized annotations for the serialized Detection2DArray ``data``."""
        message = deserialize_message(data, Detection2DArray)
        stamp = message.header.stamp
        time = self._make("builtin_interfaces/msg/Time", sec=stamp.sec, nanosec=stamp.nanosec)
        drawn = self._make(
            ANNOTATIONS,
            circles=[],
            points=[self._outline(item, time, colour) for item in message.detections],
            texts=[self._text(item, time, colour) for item in message.detections if item.results],
        )
        return bytes(self._types.serialize_cdr(drawn, ANNOTATIONS))

    def _outline(self, item: Detection2D, time: Any, colour: Colour) -> Any:
        left, top, right, bottom = _edges(item)
        corners = ((left, top), (right, top), (right, bottom), (left, bottom))
        return self._make(
            POINTS,
            timestamp=time,
            type=LINE_LOOP,
            points=[self._point(x, y) for x, y in corners],
            outline_color=self._colour(colour),
            outline_colors=[],
            fill_color=self._colour(NONE),
            thickness=THICKNESS_PX,
        )

    def _text(self, item: Detection2D, time: Any, colour: Colour) -> Any:
        left, top, _, _ = _edges(item)
        score = max(result.hypothesis.score for result in item.results)
        return self._make(
            TEXT,
            timestamp=time,
            position=self._point(left, top),
            text=f"{item.id} {score:.2f}".strip(),
            font_size=FONT_PX,
            text_color=self._colour(colour),
            background_color=self._colour(NONE),
        )

    def _point(self, x: float, y: float) -> Any:
        return self._make(POINT, x=x, y=y)

    def _colour(self, colour: Colour) -> Any:
        r, g, b, a = colour
        return self._make(COLOUR, r=r, g=g, b=b, a=a)

    def _make(self, name: str, **fields: Any) -> Any:
        return self._types.types[name](**fields)


def _edges(item: Detection2D) -> tuple[float, float, float, float]:
    """Left, top, right and bottom edge in pixels; 0 is the image's left or top edge, as Foxglove counts."""
    centre, half_x, half_y = item.bbox.center.position, item.bbox.size_x / 2.0, item.bbox.size_y / 2.0
    return centre.x - half_x, centre.y - half_y, centre.x + half_x, centre.y + half_y
