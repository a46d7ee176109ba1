"""Asking the ament index for other packages, and refusing with the line that installs them."""

from __future__ import annotations

import os
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from ament_index_python.packages import (
    PackageNotFoundError,
    get_package_prefix,
    get_package_share_directory,
)

PACKAGE = "palletjack_detection"


class PackageMissing(RuntimeError):
    """A package that the given arguments need is not installed; the message says how to install it."""


def is_installed(package: str) -> bool:
    """Whether the ament index knows ``package``."""
    try:
        get_package_prefix(package)
    except (PackageNotFoundError, ValueError, LookupError):
        return False
    return True


def require(package: str, wanted_by: str) -> None:
    """Raise PackageMissing with the apt line where ``package`` is not installed."""
    if not is_installed(package):
        debian = f"ros-{os.environ.get('ROS_DISTRO', '$ROS_DISTRO')}-{package.replace('_', '-')}"
        raise PackageMissing(f"{wanted_by} needs the package {package}: sudo apt install {debian}")


def version_of(package: str) -> str:
    """Return the version in the installed package.xml of ``package``; empty where there is none."""
    try:
        manifest = Path(get_package_share_directory(package)) / "package.xml"
        return (ElementTree.parse(manifest).findtext("version") or "").strip()
    except (PackageNotFoundError, ValueError, LookupError, OSError, ElementTree.ParseError):
        return ""


def has_executable(name: str) -> bool:
    """Whether this package installs the node ``name``."""
    try:
        return (Path(get_package_prefix(PACKAGE)) / "lib" / PACKAGE / name).exists()
    except (PackageNotFoundError, ValueError, LookupError):
        return False


def require_own(executable: str, wanted_by: str) -> None:
    """Raise PackageMissing where this build of the package has no node ``executable``."""
    if not has_executable(executable):
        raise PackageMissing(
            f"{wanted_by} needs the node {executable}, which this build of {PACKAGE} does not have"
        )
