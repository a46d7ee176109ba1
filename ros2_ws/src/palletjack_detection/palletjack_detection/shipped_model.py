"""Where the model that ships with the package lies."""

from __future__ import annotations

from pathlib import Path

SHIPPED_MODEL = "palletjack_lite"


def find_shipped_model(share_directory: Path | None = None, *, start: Path | None = None) -> Path:
    """Return the folder of the shipped model.

    From source (and with ``colcon build --symlink-install``) it is ``models/palletjack_lite`` of the
    repository, found by walking up from ``start`` (default: this file). Otherwise it is the copy in
    ``share_directory``, the package's installed share folder.

    Raises:
        FileNotFoundError: in neither place; the message lists them.
    """
    origin = (start or Path(__file__)).resolve()
    candidates = [parent / "models" / SHIPPED_MODEL for parent in origin.parents]
    if share_directory is not None:
        candidates.append(Path(share_directory) / "models" / SHIPPED_MODEL)
    for candidate in candidates:
        if (candidate / "model.json").is_file():
            return candidate
    places = [str(share_directory / "models") if share_directory else "", f"a models folder above {origin}"]
    raise FileNotFoundError(
        f"model: expected the shipped {SHIPPED_MODEL}/model.json in {' or '.join(p for p in places if p)}, "
        "found none; give a model folder with model:="
    )


def package_share() -> Path | None:
    """Return the installed share folder of this package, or None where it is not installed."""
    try:
        from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
    except ImportError:
        return None
    try:
        return Path(get_package_share_directory("palletjack_detection"))
    except (PackageNotFoundError, ValueError, LookupError):
        return None
