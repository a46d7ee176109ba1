#!/usr/bin/env bash
# Add the user that a container runs as, with its folders; it may open cameras and the GPU of a Jetson.
#
#   user.sh NAME UID      (a number, so that a host or cluster can tell that it is not root)
set -euo pipefail
name=${1:?user: expected NAME UID}
uid=${2:?user: expected NAME UID}
useradd --uid "$uid" --create-home --user-group --shell /bin/bash "$name"
for group in video render; do # not every base has both
  if getent group "$group" >/dev/null; then usermod --append --groups "$group" "$name"; fi
done
# Made here, so that a volume mounted on it belongs to the user.
install --directory --owner="$name" --group="$name" "/home/$name/.cache/palletjack" "/home/$name/.ros"
