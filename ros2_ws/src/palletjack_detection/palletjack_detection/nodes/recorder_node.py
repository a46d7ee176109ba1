"""The recorder node: writes topics to an MCAP bag that Foxglove and `ros2 bag` open.

Messages are written as they came, without being decoded; boxes also as annotations that Foxglove draws. A
topic is recorded from the moment somebody publishes it. The bag is closed in order on SIGINT and SIGTERM.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosidl_runtime_py.utilities import get_message

from palletjack_detection.nodes.diagnostic_name import diagnostic_name
from palletjack_detection.nodes.drawn_boxes import (
    ANNOTATIONS,
    BOXES,
    BOXES_IN_SPACE,
    DETECTED,
    MARKERS,
    TRUE,
    Annotator,
    boxes_to_markers,
)
from palletjack_detection.nodes.lifetime import StartupError, run_node
from palletjack_detection.nodes.parameters import declare
from palletjack_detection.nodes.recorder_parameters import PARAMETERS

LOOK_FOR_TOPICS_S = 0.5
KEEP_WHAT_CAME_S = 1.0
DEPTH = 50
MEGABYTE = 1_000_000
# Topics of a simulator that tells the truth have this in their names.
GROUND_TRUTH = "ground_truth"
BAG_VERSION: Literal[9] = 9


@dataclass(frozen=True)
class _Drawing:
    """Where and how the messages of a topic are written once more, drawn."""

    topic: str
    type_name: str
    draw: Callable[[bytes], bytes]


class RecorderNode(Node):
    """One subscription for each topic, raw bytes into one writer."""

    def __init__(self) -> None:
        super().__init__("palletjack_recorder")
        try:
            settings = declare(self, PARAMETERS)
        except ValueError as error:
            raise StartupError(str(error)) from error
        if not settings["output"]:
            raise StartupError("parameter output: expected a folder for the bag, found none")
        self._wanted = [
            self.resolve_topic_name(t.strip()) for t in settings["topics"].split(",") if t.strip()
        ]
        self._limit = settings["max_megabytes"] * MEGABYTE
        folder = Path(settings["output"]).expanduser()
        self._bag = Bag(free_folder(folder) if settings["started_again"] else folder)
        try:
            self._begin()
        except BaseException:  # an interrupt, too: nobody has a node then, to close its bag
            self._bag.close()
            raise

    def _begin(self) -> None:
        self._bytes = self._messages = 0
        self._trouble = ""
        self._heard: dict[str, Any] = {}
        self._drawn: dict[str, _Drawing] = {}
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(LOOK_FOR_TOPICS_S, self._look_for_topics, clock=steady)
        self.create_timer(1.0, self._publish_diagnostics, clock=steady)
        self.create_timer(KEEP_WHAT_CAME_S, self._keep_what_came, clock=steady)
        self.exit_code = 0
        self._look_for_topics()

    def destroy_node(self) -> None:
        """Close the bag, then take the node apart."""
        try:
            self._bag.close()
        except OSError as error:
            self.exit_code = 1
            self.get_logger().fatal(
                f"{self._bag.path}: its index cannot be written: {error}; `mcap recover` makes one"
            )
        super().destroy_node()

    def _keep_what_came(self) -> None:
        """What came so far is on the disk then, should this process be killed."""
        try:
            self._bag.flush()
        except OSError as error:
            self._report(f"{self._bag.path}: cannot be written: {error}")

    def _look_for_topics(self) -> None:
        types = dict(self.get_topic_names_and_types())
        for topic in self._wanted:
            if topic in self._heard or topic not in types or not self.count_publishers(topic):
                continue
            try:
                self._record(topic, types[topic][0])
            except Exception as error:  # one topic that cannot be recorded must not cost the others
                self._heard[topic] = None
                self._report(f"{topic} is not recorded: {type(error).__name__}: {error}")

    def _record(self, topic: str, type_name: str) -> None:
        kind = get_message(type_name)
        self._bag.add_topic(topic, type_name)
        if drawn := self._drawing(topic, type_name):
            self._bag.add_topic(drawn.topic, drawn.type_name)
            self._drawn[topic] = drawn
        self._heard[topic] = self.create_subscription(
            kind, topic, lambda data, topic=topic: self._write(topic, data), self._qos(topic), raw=True
        )
        self.get_logger().info(f"recording {topic} ({type_name})")

    def _drawing(self, topic: str, type_name: str) -> _Drawing | None:
        """What Foxglove draws of a topic that it cannot draw itself; the locator makes its own markers."""
        true = GROUND_TRUTH in topic
        if type_name == BOXES:
            draw = partial(self._bag.annotator.annotate, colour=TRUE if true else DETECTED)
            return _Drawing(f"{topic}/annotations", ANNOTATIONS, draw)
        if type_name == BOXES_IN_SPACE and true:
            return _Drawing(f"{topic}/markers", MARKERS, boxes_to_markers)
        return None

    def _qos(self, topic: str) -> QoSProfile:
        """What every publisher of the topic offers."""
        offered = [item.qos_profile for item in self.get_publishers_info_by_topic(topic)]
        reliable = all(qos.reliability == ReliabilityPolicy.RELIABLE for qos in offered)
        latched = all(qos.durability == DurabilityPolicy.TRANSIENT_LOCAL for qos in offered)
        return QoSProfile(
            depth=DEPTH,
            reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
            durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
        )

    def _write(self, topic: str, data: bytes) -> None:
        if self._bytes + len(data) > self._limit:
            self._report(f"the limit of {self._limit // MEGABYTE} MB is reached: nothing more is recorded")
            return
        now = self.get_clock().now().nanoseconds
        try:
            self._bag.write(topic, now, data)
            if drawn := self._drawn.get(topic):
                self._bag.write(drawn.topic, now, drawn.draw(data))
        except OSError as error:
            self._report(f"{self._bag.path}: cannot be written: {error}")
            return
        except Exception as error:  # boxes that cannot be read are recorded all the same
            self._report(f"{topic} is not drawn: {type(error).__name__}: {error}")
        self._bytes += len(data)
        self._messages += 1

    def _report(self, trouble: str) -> None:
        self._trouble = trouble
        self.get_logger().warning(trouble, throttle_duration_sec=5.0)

    def _publish_diagnostics(self) -> None:
        message = DiagnosticArray()
        message.header.stamp = self.get_clock().now().to_msg()
        values = {
            "bag": str(self._bag.path),
            "topics": str(sum(item is not None for item in self._heard.values())),
            "messages": str(self._messages),
            "megabytes": f"{self._bytes / MEGABYTE:.1f}",
        }
        message.status.append(
            DiagnosticStatus(
                level=DiagnosticStatus.WARN if self._trouble else DiagnosticStatus.OK,
                name=diagnostic_name(self, "recording"),
                message=self._trouble or "recording",
                values=[KeyValue(key=key, value=value) for key, value in values.items()],
            )
        )
        self._diagnostics.publish(message)


def free_folder(wanted: Path) -> Path:
    """Return ``wanted``, or the first of wanted_2, wanted_3, ... that is not there yet."""
    numbered = (wanted.with_name(f"{wanted.name}_{number}") for number in itertools.count(2))
    return next(path for path in itertools.chain([wanted], numbered) if not path.exists())


class Bag:
    """An MCAP bag being written. Raises StartupError without rosbags, or where something is in its way."""

    def __init__(self, path: Path) -> None:
        try:
            from rosbags.rosbag2 import StoragePlugin, Writer
            from rosbags.typesys import Stores, get_typestore
        except ImportError as error:
            raise StartupError(
                f"recording needs the package rosbags ({error}): pip install rosbags"
            ) from error
        if path.exists():
            raise StartupError(f"parameter output: expected a folder that is not there yet, found {path}")
        self.path = path
        self._types = get_typestore(Stores.ROS2_JAZZY)
        self.annotator = Annotator(self._types)
        self._writer: Any = Writer(path, version=BAG_VERSION, storage_plugin=StoragePlugin.MCAP)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer.open()
        except OSError as error:
            raise StartupError(f"parameter output: {path} cannot be made: {error}") from error
        self._connections: dict[str, Any] = {}

    def add_topic(self, topic: str, type_name: str) -> None:
        """Prepare to write ``topic``; its definition is taken from the installed package where need be."""
        if type_name not in self._types.types:
            self._register(type_name.split("/")[0])
        self._connections[topic] = self._writer.add_connection(topic, type_name, typestore=self._types)

    def write(self, topic: str, time_ns: int, data: bytes) -> None:
        """Append one serialized message."""
        self._writer.write(self._connections[topic], time_ns, data)

    def flush(self) -> None:
        """Hand what was written to the system. The library keeps up to a megabyte to itself.

        It has no public way for that; a release of it that does this otherwise keeps the megabyte.
        """
        storage: Any = getattr(self._writer, "storage", None)
        chunk: Any = getattr(storage, "chunk", None)
        if chunk is not None and chunk.bio.tell():
            storage.close_chunk()
            storage.bio.flush()

    def close(self) -> None:
        """Write the index and close; a second call does nothing."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def _register(self, package: str) -> None:
        from rosbags.typesys import get_types_from_msg

        try:
            folder = Path(get_package_share_directory(package)) / "msg"
        except (PackageNotFoundError, ValueError) as error:
            raise LookupError(f"the package {package} is not installed") from error
        types: dict[str, Any] = {}
        for path in sorted(folder.glob("*.msg")):
            types.update(get_types_from_msg(path.read_text(), f"{package}/msg/{path.stem}"))
        self._types.register({name: kind for name, kind in types.items() if name not in self._types.types})


def main(args: list[str] | None = None) -> int:
    """Entry point of ``ros2 run palletjack_detection palletjack_recorder``."""
    return run_node(RecorderNode, args)


if __name__ == "__main__":
    raise SystemExit(main())
