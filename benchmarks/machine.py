"""What the numbers of a benchmark were taken on and with."""

from __future__ import annotations

import os
import platform
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

from palletjack_cli.repository import commit_id, repository_root


def describe_machine(*packages: str) -> dict[str, Any]:
    """Processor, cores, load, Python, date, commit, and the versions of ``packages`` that are installed.

    With "torch" among them, the device is the GPU that PyTorch sees, if it sees one.
    """
    versions = {name: version for name in packages if (version := _version(name)) is not None}
    return {
        "device": (_gpu() if "torch" in versions else None) or _processor(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        **versions,
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": commit_id(repository_root()),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _gpu() -> str | None:
    import torch

    return str(torch.cuda.get_device_name()) if torch.cuda.is_available() else None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
