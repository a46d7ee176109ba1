#!/usr/bin/env bash
# Set up everything that `make demo` or `make test` needs, under .venv and ros2_ws/install.
#
#   bootstrap/bootstrap.sh demo    what the demo runs (no PyTorch)
#   bootstrap/bootstrap.sh test    the same, plus the trainer, the linters and pytest
#
# Safe to run again: a stamp of the inputs lets an unchanged set-up return at once.
set -euo pipefail

profile=${1:-demo}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
venv=$root/.venv
# Debian keeps ldconfig out of an ordinary user's PATH.
export PATH=$PATH:/usr/sbin:/sbin

case $profile in
  demo) extras=render,sim,report,robot ;;
  test) extras=render,sim,report,robot,train,test ;;
  *)
    echo "bootstrap: unknown profile '$profile'; expected demo or test" >&2
    exit 2
    ;;
esac

say() { printf '[set-up] %s\n' "$*"; }

# A ROS that is sourced brings its own Python ABI: rclpy must import in the interpreter that we choose.
# Our own prefix, left over from an earlier `source`, is none.
real_ros() {
  case ":${AMENT_PREFIX_PATH:-}:" in *"$venv/ros/"*) return 1 ;; esac
  [ -n "${ROS_DISTRO:-}" ] && command -v ros2 >/dev/null && python3 -c 'import rclpy' 2>/dev/null
}

is_python_312() { "$1" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 12))' 2>/dev/null; }

pyenv_python() { # the newest Python 3.12 of pyenv, which need not be on the PATH itself
  local versions
  versions=$(pyenv root 2>/dev/null || echo "${PYENV_ROOT:-$HOME/.pyenv}")/versions
  find "$versions" -maxdepth 3 -path '*/3.12*/bin/python3.12' 2>/dev/null | sort -V | tail -n 1
}

find_python() {
  if real_ros; then
    command -v python3
    return
  fi
  local candidate
  for candidate in python3.12 "$(pyenv_python)" python3; do
    if [ -n "$candidate" ] && is_python_312 "$candidate"; then
      # A shim of pyenv or a link may point elsewhere tomorrow: take the file itself.
      "$candidate" -c 'import sys; print(getattr(sys, "_base_executable", sys.executable))'
      return
    fi
  done
  echo "bootstrap: no Python 3.12 on the PATH or in pyenv. Install one (Ubuntu 24.04: apt install python3.12-venv;" \
    "elsewhere: pyenv install 3.12), then run this again." >&2
  return 1
}

newest_llvm() { # the newest libllvm package, 19 or newer, that apt offers
  local found
  found=$(apt-cache --names-only search '^libllvm[0-9]+$' 2>/dev/null |
    sed -n 's/^libllvm\([0-9]*\) .*/\1/p' | awk '$1 >= 19' | sort -n | tail -n 1)
  echo "libllvm${found:-19}"
}

has_library() { grep -qF "$1" <<<"$libraries"; }

has_llvm() {
  grep -oE 'libLLVM[-.](so\.)?[0-9]+' <<<"$libraries" | grep -oE '[0-9]+$' | awk '$1 >= 19 {found = 1} END {exit !found}'
}

missing_packages() { # one word a line; "llvm" stands for the newest libllvm
  local libraries
  libraries=$(ldconfig -p)
  has_llvm || echo llvm
  has_library libEGL.so.1 || echo libegl1
  has_library libEGL_mesa.so.0 || echo libegl-mesa0
  has_library libGL.so.1 || echo libgl1
  has_library libatomic.so.1 || echo libatomic1
  "$1" -c 'import ensurepip' 2>/dev/null || echo "$(basename "$1")-venv"
}

install_system_packages() {
  local missing as_root=()
  mapfile -t missing < <(missing_packages "$1")
  [ ${#missing[@]} -eq 0 ] && return
  if [ "$(id -u)" -ne 0 ]; then
    if ! sudo -n true 2>/dev/null; then
      echo "bootstrap: system packages are missing and there is no root access. Run this line, then start again:" >&2
      echo "  sudo apt-get update && sudo apt-get install -y ${missing[*]/#llvm/$(newest_llvm)}" >&2
      return 1
    fi
    as_root=(sudo -n)
  fi
  if ! command -v apt-get >/dev/null; then
    echo "bootstrap: this system has no apt; install what these Debian packages hold: ${missing[*]/#llvm/libllvm19}" >&2
    return 1
  fi
  say "installing system packages: ${missing[*]}"
  # A broken third-party source must not stop us; what then is missing fails in the next command.
  "${as_root[@]}" apt-get update -qq || say "apt-get update failed; going on with the package lists there are"
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${missing[@]/#llvm/$(newest_llvm)}" >/dev/null
}

make_venv() {
  if "$venv/bin/python" -m pip --version >/dev/null 2>&1; then return; fi
  say "creating .venv with $("$1" --version)"
  "$1" -m venv --clear "$venv"
}

install_python_packages() {
  local version constraints pip
  version=$("$venv/bin/python" -c 'import sys; print("%d%d" % sys.version_info[:2])')
  constraints=$root/bootstrap/constraints-py$version.txt
  pip=("$venv/bin/python" -m pip --disable-pip-version-check install --quiet)
  # The variable also binds the environment in which pip builds our own package.
  if [ -f "$constraints" ]; then export PIP_CONSTRAINT=$constraints; fi
  say "installing Python packages for '$profile' (the first time this downloads them)"
  "${pip[@]}" --editable ".[$extras]"
  if [[ ,$extras, == *,train,* ]]; then
    # By itself: it asks for a setuptools that colcon does not work with.
    "${pip[@]}" --no-deps nvidia-modelopt==0.47.0
  fi
  if ! real_ros; then
    say "installing ROS 2 from pip (NVIDIA's isaacsim-ros2 wheel, Omniverse licence: use, no redistribution)"
    "${pip[@]}" --no-deps isaacsim-ros2==6.2.0.0
  fi
}

stamp() { # what the set-up depends on; a change of any of it makes the next run work again
  local ros=pip
  if real_ros; then ros=$ROS_DISTRO; fi
  {
    find pyproject.toml bootstrap ros2_ws/src -type f -not -name '*.pyc' -print0 | sort -z | xargs -0 sha256sum
    echo "$root $ros $1"
  } | sha256sum | cut -d' ' -f1
}

python=$(find_python)
want=$(stamp "$python")
for done_profile in "$profile" test; do # the test profile contains the demo's
  if [ "$(cat "$venv/.bootstrap-$done_profile" 2>/dev/null)" = "$want" ]; then exit 0; fi
done

install_system_packages "$python"
make_venv "$python"
install_python_packages
say "building the ROS 2 workspace"
bash bootstrap/ros_workspace.sh
echo "$want" >"$venv/.bootstrap-$profile"
say "ready"
