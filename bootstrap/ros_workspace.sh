#!/usr/bin/env bash
# Build ros2_ws, with the ROS 2 that is sourced (Humble or Jazzy), else with the one from pip.
#
# Afterwards `source ros2_ws/install/setup.bash` in an empty shell is enough for
# `ros2 launch palletjack_detection detect.launch.py`. Safe to run again: what is in place is kept.
#
# Usage: bootstrap/ros_workspace.sh [--workspace DIR]      (default: ros2_ws; the sources stay there)
# PIP_ROS_DISTRO=humble takes the other tree of the pip wheel, PYTHON=... another Python.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
workspace="$root/ros2_ws"
if [ "${1:-}" = --workspace ]; then
  mkdir -p "$2"
  workspace="$(cd "$2" && pwd)"
fi
venv_python="${PYTHON:-$root/.venv/bin/python}"
distro="${PIP_ROS_DISTRO:-jazzy}"
prefix="$root/.venv/ros/$distro"

constraints="$root/bootstrap/constraints-py312.txt"
if [ -f "$constraints" ]; then export PIP_CONSTRAINT="$constraints"; fi

log() { printf 'ros_workspace: %s\n' "$*"; }

# A sourced ROS 2 counts unless it is our own prefix, left over from an earlier `source`.
has_real_ros() {
  [ -n "${ROS_DISTRO:-}" ] || return 1
  case ":${AMENT_PREFIX_PATH:-}:" in *"$root/.venv/ros/"*) return 1 ;; esac
  command -v ros2 >/dev/null
}

can() { "$1" -c "import $2" 2>/dev/null; }

if has_real_ros; then
  # Our own environment where it fits the sourced ROS (same Python version), else the system's Python.
  python="$venv_python"
  if ! { [ -x "$python" ] && can "$python" rclpy.node; }; then python="$(command -v python3)"; fi
  if ! can "$python" rclpy.node; then
    log "ROS_DISTRO is $ROS_DISTRO, but $python cannot import rclpy: source /opt/ros/$ROS_DISTRO/setup.bash"
    exit 1
  fi
  if ! can "$python" onnxruntime; then
    log "$python has no onnxruntime, which the detector needs and rosdep has no key for: run"
    log "  $python -m pip install onnxruntime"
    exit 1
  fi
  log "using the sourced ROS 2 $ROS_DISTRO"
else
  # Nothing of a half-sourced environment may leak into the build.
  unset AMENT_PREFIX_PATH COLCON_PREFIX_PATH CMAKE_PREFIX_PATH PYTHONPATH LD_LIBRARY_PATH RMW_IMPLEMENTATION
  python="$venv_python"
  if [ ! -x "$python" ]; then
    log "$python: not there; run bootstrap/bootstrap.sh first"
    exit 1
  fi
  packages="$("$python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')"
  if [ ! -d "$packages/isaacsim/exts/isaacsim.ros2.core/$distro" ]; then
    log "no ROS 2 is sourced: installing the one of NVIDIA's isaacsim-ros2 wheel (133 MB, Omniverse licence)"
    "$python" -m pip install --quiet --no-deps "isaacsim-ros2==6.2.0.0"
  fi
  "$python" "$root/bootstrap/pip_ros/make_prefix.py" --distro "$distro" --out "$prefix"
  verbs="$root/bootstrap/pip_ros/verbs"
  if ! diff -rq --exclude=__pycache__ "$verbs/palletjack_ros_verbs" "$packages/palletjack_ros_verbs" >/dev/null 2>&1 ||
    [ ! -x "$root/.venv/bin/ros2" ]; then
    "$python" -m pip install --quiet --force-reinstall --no-deps "$verbs"
    "$python" -m pip install --quiet "$verbs"
  fi
  # shellcheck disable=SC1091
  set +u && source "$prefix/setup.bash" && set -u
fi

if ! can "$python" colcon_ros; then
  if [ "$python" = "$venv_python" ]; then
    "$python" -m pip install --quiet "setuptools<80" colcon-core colcon-ros colcon-bash colcon-output \
      colcon-package-selection colcon-test-result
  else
    log "colcon is missing: install python3-colcon-common-extensions"
    exit 1
  fi
fi

log "building into $workspace/install"
cd "$workspace"
"$python" -c 'from colcon_core.command import main; raise SystemExit(main())' \
  --log-base "$workspace/log" build --symlink-install --base-paths "$root/ros2_ws/src" \
  --build-base "$workspace/build" --install-base "$workspace/install" --event-handlers console_cohesion- summary+
log "done: source $workspace/install/setup.bash"
