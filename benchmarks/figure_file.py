"""A figure as a PNG file; importing this draws without a screen."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot


def save_figure(figure: Any, path: Path, dpi: int = 110) -> None:
    """Write ``figure`` whole or not at all, and close it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    figure.savefig(temporary, format="png", dpi=dpi)
    pyplot.close(figure)
    os.replace(temporary, path)
