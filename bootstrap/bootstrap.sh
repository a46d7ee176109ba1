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

case $profile in
  demo) extras=render,sim,report ;;
  test) extras=render,sim,report,train,test ;;
  *) echo "bootstrap: unknown profile '$profile'; expected demo or test" >&2; exit 2 ;;
esac

say() { printf '\033[1m[set-up]\033[0m %s\n' "$*"; }

# A sourced ROS brings its own Python ABI: rclpy must import in the interpreter that we choose.
real_ros() { [ -n "${ROS_DISTRO:-}" ] && command -v ros2 >/dev/null && python3 -c 'import rclpy' 2>/dev/null; }

find_python() {
  if real_ros; then command -v python3; return; fi
  local candidate
  for candidate in python3.12 "$(command -v pyenv >/dev/null && ls -d "$(pyenv root)"/versions/3.12*/bin/python3.12 2>/dev/null | tail -n 1)" python3; do
    if [ -n "$candidate" ] && "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 12))' 2>/dev/null; then
      command -v "$candidate"; return
    fi
  done
  echo "bootstrap: no Python 3.12 on the PATH or in pyenv. Install one (Ubuntu 24.04: apt install python3.12-venv;" \
    "elsewhere: pyenv install 3.12), then run this again." >&2
  return 1
}

newest_llvm() {  # the newest libllvm package, 19 or newer, that apt offers
  apt-cache --names-only search '^libllvm[0-9]+$' 2>/dev/null | sed -n 's/^\(libllvm\([0-9]*\)\) .*/\2 \1/p' |
    awk '$1 >= 19' | sort -n | tail -n 1 | cut -d' ' -f2
}

has_llvm() {
  ldconfig -p 2>/dev/null | grep -oE 'libLLVM[-.](so\.)?[0-9]+' | grep -oE '[0-9]+$' | awk '$1 >= 19 {found = 1} END {exit !found}'
}

system_packages() {
  local missing=()
  has_llvm || missing+=(llvm)
  ldconfig -p | grep -q 'libEGL\.so\.1' || missing+=(libegl1)
  ldconfig -p | grep -q 'libEGL_mesa\.so\.0' || missing+=(libegl-mesa0)
  ldconfig -p | grep -q 'libGL\.so\.1' || missing+=(libgl1)
  ldconfig -p | grep -q 'libatomic\.so\.1' || missing+=(libatomic1)
  "$1" -c 'import ensurepip' 2>/dev/null || missing+=("$(basename "$1")-venv")
  [ ${#missing[@]} -eq 0 ] && return
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    if ! sudo -n true 2>/dev/null; then
      echo "bootstrap: system packages are missing and there is no root access. Run this line, then start again:" >&2
      echo "  sudo apt-get update && sudo apt-get install -y ${missing[*]/#llvm/libllvm19}" >&2
      return 1
    fi
    as_root=(sudo -n)
  fi
  say "installing system packages: ${missing[*]}"
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${missing[@]/#llvm/$(newest_llvm)}" >/dev/null
}

stamp() { # what the set-up depends on; a change of any of it makes the next run work again
  { cat pyproject.toml bootstrap/constraints-*.txt; find bootstrap ros2_ws/src -type f -not -name '*.pyc' -print0 |
      sort -z | xargs -0 sha256sum; echo "$root ${ROS_DISTRO:-pip} $1"; } | sha256sum | cut -d' ' -f1
}

python=$(find_python)
want=$(stamp "$python")
for done_profile in "$profile" test; do  # the test profile contains the demo's
  if [ "$(cat "$venv/.bootstrap-$done_profile" 2>/dev/null)" = "$want" ]; then exit 0; fi
done

system_packages "$python"
if ! "$venv/bin/python" -c '' 2>/dev/null; then
  say "creating .venv with $("$python" --version)"
  "$python" -m venv "$venv"
fi
version=$("$venv/bin/python" -c 'import sys; print("%d%d" % sys.version_info[:2])')
constraints=bootstrap/constraints-py$version.txt
pip=("$venv/bin/python" -m pip --disable-pip-version-check install --quiet)
[ -f "$constraints" ] && pip+=(--constraint "$constraints")
say "installing Python packages for '$profile' (the first time this downloads them)"
"${pip[@]}" --editable ".[$extras]"
if ! real_ros; then
  say "installing ROS 2 from pip (NVIDIA's isaacsim-ros2 wheel, Omniverse licence: use, no redistribution)"
  "${pip[@]}" --no-deps isaacsim-ros2==6.2.0.0
fi
say "building the ROS 2 workspace"
bash bootstrap/ros_workspace.sh
echo "$want" >"$venv/.bootstrap-$profile"
say "ready"
