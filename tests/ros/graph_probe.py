"""A node that publishes images and hears detections and diagnostics, driven by lines of JSON.

Run as a process inside a ROS environment; pytest itself needs no ROS.
:class:`Probe` is the handle on the other side of the pipe.
"""

from __future__ import annotations

import base64
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.ros.probe_process import GraphOperations, ProbeProcess, corners, serve


class Probe(ProbeProcess):
    """A camera, and what the detector and the mapper answer."""

    module = "tests.ros.graph_probe"

    def publish(
        self,
        pixels: NDArray[np.uint8],
        stamp: tuple[int, int],
        *,
        encoding: str = "rgb8",
        padding: int = 0,
        frame_id: str = "camera",
        **fields: Any,
    ) -> None:
        """Publish ``pixels`` (H, W) or (H, W, C) with ``padding`` bytes after each row.

        ``fields`` replace those of the message: width, height, step, data (bytes), is_bigendian.
        """
        height, width = pixels.shape[:2]
        rows = pixels.reshape(height, -1)
        rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=255)
        data = fields.pop("data", rows.tobytes())
        message = {"width": width, "height": height, "step": rows.shape[1], "is_bigendian": 0, **fields}
        self.ask(
            "publish",
            encoding=encoding,
            stamp=stamp,
            frame_id=frame_id,
            data=base64.b64encode(data).decode(),
            **message,
        )

    def detections(self, stamp: tuple[int, int], timeout: float = 10.0) -> dict[str, Any]:
        """Return the detections message with ``stamp``; AssertionError where none comes."""
        result: dict[str, Any] | None = self.ask("detections", stamp=stamp, timeout=timeout)
        assert result is not None, f"no detections with stamp {stamp} within {timeout:g} s"
        return result


def _serve() -> None:
    from builtin_interfaces.msg import Time
    from lifecycle_msgs.msg import Transition
    from lifecycle_msgs.srv import ChangeState, GetState
    from rclpy.node import Node
    from sensor_msgs.msg import CameraInfo, CompressedImage, Image
    from std_srvs.srv import SetBool
    from vision_msgs.msg import Detection2D, Detection2DArray, ObjectHypothesisWithPose

    class _ProbeNode(GraphOperations, Node):
        """The operations that :meth:`Probe.ask` names."""

        def __init__(self) -> None:
            super().__init__("graph_probe")
            self.images = self.create_publisher(Image, "image", 10)
            self.compressed = self.create_publisher(CompressedImage, "image/compressed", 10)
            self.infos = self.create_publisher(CameraInfo, "camera_info", 10)
            self.boxes = self.create_publisher(Detection2DArray, "detectnet/detections", 10)
            self.received: dict[tuple[int, int], Any] = {}
            self.seen_images: dict[tuple[int, int], Any] = {}
            self.seen_infos: dict[tuple[int, int], Any] = {}
            self.create_subscription(Detection2DArray, "detections", self.on_detections, 10)
            self.listen_to_diagnostics()

        def on_detections(self, message: Any) -> None:
            self.received[(message.header.stamp.sec, message.header.stamp.nanosec)] = message

        def publish(self, stamp: list[int], frame_id: str, data: str, **fields: Any) -> None:
            message = Image(**fields)
            message.header.stamp = Time(sec=stamp[0], nanosec=stamp[1])
            message.header.frame_id = frame_id
            message.data.frombytes(base64.b64decode(data))
            self.images.publish(message)

        def publish_compressed(self, stamp: list[int], format: str, data: str) -> None:
            message = CompressedImage(format=format)
            message.header.stamp = Time(sec=stamp[0], nanosec=stamp[1])
            message.data.frombytes(base64.b64decode(data))
            self.compressed.publish(message)

        def ready(self, timeout: float, compressed: bool = False) -> bool:
            """Whether an image published here is answered within ``timeout`` seconds."""
            publisher = self.compressed if compressed else self.images
            deadline = time.monotonic() + timeout
            while time.monotonic() < deadline and not publisher.get_subscription_count():
                time.sleep(0.05)
            if compressed:
                return publisher.get_subscription_count() > 0
            black = base64.b64encode(bytes(32 * 32 * 3)).decode()
            stamp = [1, 0]
            while time.monotonic() < deadline:
                stamp = [1, stamp[1] + 1]
                self.publish(stamp, "ready", black, width=32, height=32, step=96, encoding="rgb8")
                if self.detections(stamp, 0.5) is not None:
                    return True
            return False

        def detections(self, stamp: list[int], timeout: float) -> dict[str, Any] | None:
            deadline = time.monotonic() + timeout
            key = (stamp[0], stamp[1])
            while key not in self.received:
                if time.monotonic() > deadline:
                    return None
                time.sleep(0.01)
            message = self.received[key]
            return {
                "frame_id": message.header.frame_id,
                "boxes": [corners(item) for item in message.detections],
                "scores": [d.results[0].hypothesis.score for d in message.detections],
                "classes": [d.results[0].hypothesis.class_id for d in message.detections],
                "headers": [[d.header.stamp.sec, d.header.stamp.nanosec] for d in message.detections],
            }

        def listen_to_camera(self) -> None:
            self.create_subscription(Image, "image", lambda m: self.keep(self.seen_images, m), 5)
            self.create_subscription(CameraInfo, "camera_info", lambda m: self.keep(self.seen_infos, m), 5)

        def keep(self, seen: dict[tuple[int, int], Any], message: Any) -> None:
            seen[(message.header.stamp.sec, message.header.stamp.nanosec)] = message

        def frames(self, count: int, timeout: float) -> list[dict[str, Any]]:
            """Images with the camera_info of the same stamp, once there are ``count`` of them."""
            deadline = time.monotonic() + timeout
            while len(self.seen_images.keys() & self.seen_infos.keys()) < count:
                if time.monotonic() > deadline:
                    return []
                time.sleep(0.01)
            return [
                {
                    "stamp": list(key),
                    "size": [self.seen_images[key].width, self.seen_images[key].height],
                    "info_size": [self.seen_infos[key].width, self.seen_infos[key].height],
                    "k": list(self.seen_infos[key].k),
                    "bytes": len(self.seen_images[key].data),
                    "reddest": int(np.frombuffer(self.seen_images[key].data, np.uint8).max()),
                }
                for key in sorted(self.seen_images.keys() & self.seen_infos.keys())
            ]

        def publish_camera_info(self, width: int, height: int, binning: int = 0) -> None:
            message = CameraInfo(width=width, height=height, binning_x=binning, binning_y=binning)
            message.header.frame_id = "front_optical"
            self.infos.publish(message)

        def publish_boxes(
            self, stamp: list[int], frame_id: str, boxes: list[list[float]], scores: list[float], name: str
        ) -> None:
            """As NVIDIA's decoder: boxes (xyxy) in network pixels, one hypothesis each."""
            message = Detection2DArray()
            message.header.stamp = Time(sec=stamp[0], nanosec=stamp[1])
            message.header.frame_id = frame_id
            for (x0, y0, x1, y1), score in zip(boxes, scores, strict=True):
                item = Detection2D(header=message.header)
                item.bbox.center.position.x, item.bbox.center.position.y = (x0 + x1) / 2, (y0 + y1) / 2
                item.bbox.size_x, item.bbox.size_y = x1 - x0, y1 - y0
                result = ObjectHypothesisWithPose()
                result.hypothesis.class_id, result.hypothesis.score = name, score
                item.results.append(result)
                message.detections.append(item)
            self.boxes.publish(message)

        def mapper_listens(self, timeout: float) -> bool:
            deadline = time.monotonic() + timeout
            while time.monotonic() < deadline:
                ready = self.boxes.get_subscription_count() and self.infos.get_subscription_count()
                if ready and self.count_publishers("detections"):
                    return True
                time.sleep(0.05)
            return False

        def change_state(self, node: str, transition: str) -> bool:
            number = getattr(Transition, f"TRANSITION_{transition.upper()}")
            request = ChangeState.Request(transition=Transition(id=number))
            return bool(self.call(ChangeState, f"{node}/change_state", request).success)

        def state(self, node: str) -> str:
            try:
                answer = self.call(GetState, f"{node}/get_state", GetState.Request(), timeout=3.0)
            except AssertionError:  # the services of a killed process stay visible for a while
                return "no answer"
            return str(answer.current_state.label)

        def set_bool(self, name: str, value: bool) -> dict[str, Any]:
            answer = self.call(SetBool, name, SetBool.Request(data=value))
            return {"success": answer.success, "message": answer.message}

        def listeners(self) -> int:
            """Subscriptions to the images that are published here."""
            return int(self.images.get_subscription_count())

    serve(_ProbeNode)


if __name__ == "__main__":
    _serve()
