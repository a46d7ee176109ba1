#!/usr/bin/env bash
# Put ROS, the workspace and ONNX Runtime on the paths, then run the given command as this process.
set -eo pipefail
source "/opt/ros/${ROS_DISTRO}/setup.bash"
source /workspace/install/setup.bash
site=$(/opt/palletjack/bin/python -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
export PYTHONPATH="$site:${PYTHONPATH:-}"
exec "$@"
