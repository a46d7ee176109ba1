"""Messages of the simulator's topics, built from its own types."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import TransformStamped, Twist
from nav_msgs.msg import Odometry
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import CameraInfo, Image
from vision_msgs.msg import Detection3D, Detection3DArray, ObjectHypothesisWithPose

from palletjack_detection.ground_range import CameraModel
from palletjack_detection.guard import RobotPose, Velocity
from palletjack_sim.ground_truth import TruckBox
from palletjack_sim.world import TRUCK_LABEL


def stamp_message(seconds: float) -> Time:
    """Simulated seconds, to the nearest nanosecond."""
    nanoseconds = round(seconds * 1e9)
    return Time(sec=nanoseconds // 1_000_000_000, nanosec=nanoseconds % 1_000_000_000)


def stamp_seconds(stamp: Time) -> float:
    """Seconds of a stamp."""
    return float(stamp.sec) + float(stamp.nanosec) * 1e-9


def image_message(rgb: NDArray[np.uint8], stamp: Time, frame_id: str) -> Image:
    """rgb8 image from (H, W, 3)."""
    message = Image(height=rgb.shape[0], width=rgb.shape[1], encoding="rgb8", step=3 * rgb.shape[1])
    message.header.stamp, message.header.frame_id = stamp, frame_id
    # Assigning bytes is checked element by element on Humble; this is not.
    message.data.frombytes(np.ascontiguousarray(rgb))
    return message


def camera_info_message(camera: CameraModel, stamp: Time, frame_id: str) -> CameraInfo:
    """Intrinsics of a rectified camera: R is the identity and P repeats K."""
    k = camera.matrix
    message = CameraInfo(height=camera.height, width=camera.width, distortion_model=camera.distortion_model)
    message.header.stamp, message.header.frame_id = stamp, frame_id
    message.d = [float(value) for value in camera.distortion]
    message.k = [float(value) for value in k.ravel()]
    message.r = [float(value) for value in np.eye(3).ravel()]
    message.p = [float(value) for value in np.column_stack([k, np.zeros(3)]).ravel()]
    return message


def odometry_message(pose: RobotPose, yaw_rate: float, stamp: Time, frame: str, child: str) -> Odometry:
    """Pose in ``frame`` and twist in ``child``."""
    message = Odometry(child_frame_id=child)
    message.header.stamp, message.header.frame_id = stamp, frame
    message.pose.pose.position.x, message.pose.pose.position.y = pose.x, pose.y
    message.pose.pose.orientation.z = math.sin(pose.yaw / 2.0)
    message.pose.pose.orientation.w = math.cos(pose.yaw / 2.0)
    message.twist.twist.linear.x = pose.speed
    message.twist.twist.angular.z = yaw_rate
    return message


def robot_transform(pose: RobotPose, stamp: Time, frame: str, child: str) -> TransformStamped:
    """``frame`` to ``child`` as TF has it: the robot's pose."""
    message = TransformStamped(child_frame_id=child)
    message.header.stamp, message.header.frame_id = stamp, frame
    message.transform.translation.x, message.transform.translation.y = pose.x, pose.y
    message.transform.rotation.z = math.sin(pose.yaw / 2.0)
    message.transform.rotation.w = math.cos(pose.yaw / 2.0)
    return message


def mount_transform(matrix: NDArray[np.float64], stamp: Time, frame: str, child: str) -> TransformStamped:
    """Static transform of the camera: ``matrix`` (4, 4) maps ``child`` to ``frame``."""
    message = TransformStamped(child_frame_id=child)
    message.header.stamp, message.header.frame_id = stamp, frame
    move, turn = message.transform.translation, message.transform.rotation
    move.x, move.y, move.z = (float(value) for value in matrix[:3, 3])
    turn.x, turn.y, turn.z, turn.w = (float(v) for v in Rotation.from_matrix(matrix[:3, :3]).as_quat())
    return message


def boxes_3d_message(boxes: Sequence[TruckBox], stamp: Time, frame: str) -> Detection3DArray:
    """Oriented boxes in ``frame``, which is the simulator's world; ids are the objects' instance ids."""
    message = Detection3DArray()
    message.header.stamp, message.header.frame_id = stamp, frame
    for box in boxes:
        detection = Detection3D(header=message.header, id=str(box.instance_id))
        result = ObjectHypothesisWithPose()
        result.hypothesis.class_id, result.hypothesis.score = TRUCK_LABEL, 1.0
        for pose in (detection.bbox.center, result.pose.pose):
            move, turn = pose.position, pose.orientation
            move.x, move.y, move.z = (float(value) for value in box.pose[:3, 3])
            quaternion = Rotation.from_matrix(box.pose[:3, :3]).as_quat()
            turn.x, turn.y, turn.z, turn.w = (float(value) for value in quaternion)
        size = detection.bbox.size
        size.x, size.y, size.z = (float(value) for value in box.size)
        detection.results.append(result)
        message.detections.append(detection)
    return message


def twist_message(velocity: Velocity) -> Twist:
    """Planar velocity."""
    message = Twist()
    message.linear.x, message.angular.z = float(velocity.linear), float(velocity.angular)
    return message
