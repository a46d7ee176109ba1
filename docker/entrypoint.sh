#!/usr/bin/env bash
# Source the workspace, which chains to the ROS 2 that it was built on, then become the given command.
# The robot's service starts through this file too (deploy/palletjack.service).
set -eo pipefail
setup=${PALLETJACK_SETUP:-/opt/palletjack/repository/ros2_ws/install/setup.bash}
if [ ! -f "$setup" ]; then
  echo "palletjack: PALLETJACK_SETUP: expected the setup.bash of a built workspace, found no $setup" >&2
  exit 1
fi
# shellcheck disable=SC1090
source "$setup"
exec "$@"
