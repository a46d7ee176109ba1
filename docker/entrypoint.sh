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

# Neither middleware passes camera images whole by its own settings (docs/ros.md): give it the package's profile,
# unless it has one. Both names: older and newer Fast DDS.
IFS=: read -ra prefixes <<< "${AMENT_PREFIX_PATH:-}"
for prefix in "${prefixes[@]}"; do
  profiles=$prefix/share/palletjack_detection/config
  [ -d "$profiles" ] || continue
  case ${RMW_IMPLEMENTATION:-rmw_fastrtps_cpp} in
    rmw_cyclonedds_cpp)
      export CYCLONEDDS_URI=${CYCLONEDDS_URI:-file://$profiles/cyclonedds.xml} ;;
    rmw_fastrtps_cpp)
      own=${FASTRTPS_DEFAULT_PROFILES_FILE:-${FASTDDS_DEFAULT_PROFILES_FILE:-$profiles/fastdds.xml}}
      export FASTRTPS_DEFAULT_PROFILES_FILE=$own FASTDDS_DEFAULT_PROFILES_FILE=$own ;;
  esac
  break
done
exec "$@"
