#!/usr/bin/env bash
# Install the data generator and the trainer with the exact versions that the project is tested with.
#
#   training-packages.sh REPOSITORY ENVIRONMENT      needs root, Debian 12 or Ubuntu 24.04, Python 3.12
#
# PyTorch's wheel carries CUDA; the host's NVIDIA container toolkit adds the driver. No ROS is installed: the one that
# bootstrap/bootstrap.sh takes from pip may not be redistributed, so it must not be part of an image.
set -euo pipefail
if [ $# -ne 2 ]; then
  echo "training-packages: expected REPOSITORY ENVIRONMENT, found $# arguments" >&2
  exit 2
fi
apt-get update
DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
  libatomic1 libegl1 libegl-mesa0 libgl1 libllvm19
rm -rf /var/lib/apt/lists/*
"${PYTHON:-python3}" -m venv "$2"
"$2/bin/python" -m pip install --no-cache-dir --disable-pip-version-check \
  --constraint "$1/bootstrap/constraints-py312.txt" "$1[render,report,train]"
"$2/bin/palletjack" --help >/dev/null
