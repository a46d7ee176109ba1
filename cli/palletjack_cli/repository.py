"""Where the project's own files lie, for commands that need more than the installed packages."""

from __future__ import annotations

import subprocess
from pathlib import Path


def repository_root() -> Path:
    """Return the root of the checkout that this package runs from.

    Raises FileNotFoundError when the package was installed without its repository (a plain wheel),
    in which case there is no workspace, no benchmark and no shipped model beside it.
    """
    root = Path(__file__).resolve().parents[2]
    if not (root / "pyproject.toml").is_file() or not (root / "ros2_ws").is_dir():
        raise FileNotFoundError(
            f"{root}: expected the palletjack repository (pyproject.toml, ros2_ws/); this command works "
            "from a checkout installed with `pip install -e .`"
        )
    return root


def commit_id(root: Path) -> str:
    """Return the short commit id of ``root``, with "+" when files differ from it, or "unknown"."""
    try:
        commit = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "--short=10", "HEAD"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        changed = subprocess.run(
            ["git", "-C", str(root), "status", "--porcelain", "--untracked-files=no"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit + ("+" if changed else "")
