#!/usr/bin/env bash
# Make an environment with the packages of python-packages.txt that also sees ROS's own Python packages.
#
#   python-packages.sh DIR     PYTHON=... takes another Python than python3
#
# An environment and not `pip install`: Ubuntu 24.04 refuses that (PEP 668), and a robot's system Python is shared.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if [ $# -ne 1 ]; then
  echo "python-packages: expected one folder for the environment, found $# arguments" >&2
  exit 2
fi
"${PYTHON:-python3}" -m venv --system-site-packages "$1"
"$1/bin/python" -m pip install --no-cache-dir --disable-pip-version-check --requirement "$here/python-packages.txt"
# The same folder under a name without Python's version, for a path that an image sets.
ln -sfn "$("$1/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')" "$1/packages"
"$1/bin/python" -c 'import cjm_byte_track, numpy, onnxruntime, rosbags; print("onnxruntime", onnxruntime.__version__)'
