#!/usr/bin/env bash
# Install the Debian packages of apt-packages.txt. Needs root and an apt source of ROS 2, as every ROS image has.
#
#   apt-packages.sh DISTRO            install for ROS 2 DISTRO (humble or jazzy)
#   apt-packages.sh DISTRO --print    only print the names
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
distro=${1:-}
case $distro in
  humble | jazzy) ;;
  *)
    echo "apt-packages: expected humble or jazzy, found '$distro'" >&2
    exit 2
    ;;
esac

mapfile -t packages < <(sed -e '/^#/d' -e '/^$/d' -e "s/@distro@/$distro/" "$here/apt-packages.txt")
if [ "${2:-}" = --print ]; then
  printf '%s\n' "${packages[@]}"
  exit
fi
# An image of NVIDIA's may bring an OpenCV of its own, with which Ubuntu's packages conflict.
if python3 -c 'import cv2' 2>/dev/null; then
  mapfile -t packages < <(printf '%s\n' "${packages[@]}" | grep -vx python3-opencv)
fi
apt-get update
DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${packages[@]}"
rm -rf /var/lib/apt/lists/*
