#!/usr/bin/env bash
# Build the ROS 2 package of the repository, with the environment that python-packages.sh made.
#
#   workspace.sh REPOSITORY ENVIRONMENT      result: REPOSITORY/ros2_ws/install
#
# bootstrap/ros_workspace.sh does the work: the script that `make test` builds the workspace with.
# The nodes get this environment's Python in their first line, so that they find what it holds.
set -euo pipefail
if [ $# -ne 2 ]; then
  echo "workspace: expected REPOSITORY ENVIRONMENT, found $# arguments" >&2
  exit 2
fi
if [ -z "${ROS_DISTRO:-}" ]; then
  echo "workspace: ROS_DISTRO is not set: source /opt/ros/DISTRO/setup.bash first" >&2
  exit 1
fi
PYTHON=$2/bin/python exec bash "$1/bootstrap/ros_workspace.sh"
