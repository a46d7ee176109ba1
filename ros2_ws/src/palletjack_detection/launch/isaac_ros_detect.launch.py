"""The Isaac ROS graph alone, for a camera that runs already: detect.launch.py with backend:=isaac_ros.

Example: ros2 launch palletjack_detection isaac_ros_detect.launch.py image_topic:=/front/image \
    camera_info_topic:=/front/camera_info image_width:=1920 image_height:=1200
"""

from __future__ import annotations

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

from launch import LaunchDescription
from palletjack_detection.bringup.packages import PACKAGE


def generate_launch_description() -> LaunchDescription:
    """Return detect.launch.py with its backend set; it takes the other arguments of that file."""
    path = Path(get_package_share_directory(PACKAGE)) / "launch" / "detect.launch.py"
    return LaunchDescription(
        [
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(str(path)), launch_arguments={"backend": "isaac_ros"}.items()
            )
        ]
    )
