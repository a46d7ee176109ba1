"""The ROS 2 environment of the graph tests, shared."""

from __future__ import annotations

from tests.ros.conftest import main_ros_environment as main_ros_environment
