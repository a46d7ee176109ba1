"""The camera whose pixels a message's boxes are in: of camera_info, for the size of the detector's images."""

from __future__ import annotations

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo

from palletjack_detection.ground_range import CameraModel
from palletjack_detection.image_calibration import ImageCalibration
from palletjack_detection.nodes.camera_messages import calibration_from_message
from palletjack_detection.nodes.image_info import TOPIC, latched


class BoxCamera:
    """Listens to ``camera_info`` and to the size of the images that boxes are found in, where it is said.

    ``trouble`` is what is wrong with a calibration, or with what was asked for last; empty where nothing is.
    """

    def __init__(self, node: Node, *, rectified: bool) -> None:
        self._logger = node.get_logger()
        self._rectified = rectified
        self._calibration: ImageCalibration | None = None
        self._images: CameraInfo | None = None
        self._calibration_trouble = self._size_trouble = ""
        # Best effort hears reliable and best-effort publishers alike.
        sensor = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
        node.create_subscription(CameraInfo, "camera_info", self._on_camera_info, sensor)
        node.create_subscription(CameraInfo, TOPIC, self._on_images, latched())

    @property
    def trouble(self) -> str:
        """One sentence, or two."""
        return "; ".join(filter(None, (self._calibration_trouble, self._size_trouble)))

    def of(self, frame_id: str) -> CameraModel | None:
        """The camera of boxes that are published with ``frame_id``; None where it is not known."""
        if self._calibration is None:
            return None
        images = self._images
        self._size_trouble = ""
        if images is None or images.header.frame_id != frame_id:
            # Boxes of somebody who does not say it: then camera_info is of their images.
            return self._calibration.camera
        try:
            return self._calibration.of_image(images.width, images.height)
        except ValueError as error:
            self._size_trouble = f"detections not placed: {error}"
            self._logger.warning(self._size_trouble, throttle_duration_sec=2.0)
            return None

    def _on_camera_info(self, message: CameraInfo) -> None:
        try:
            self._calibration = calibration_from_message(message, rectified=self._rectified)
            self._calibration_trouble = ""
        except ValueError as error:  # the last good one stays in use
            self._calibration_trouble = str(error)
            self._logger.warning(self._calibration_trouble, throttle_duration_sec=2.0)

    def _on_images(self, message: CameraInfo) -> None:
        self._images = message
