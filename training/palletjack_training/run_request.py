"""What a training run is asked to do, also in the form that other processes of it are told in."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_OPTIONAL_PATHS = ("out", "cache_dir", "initial", "teacher")


@dataclass(frozen=True)
class RunRequest:
    """What to train on and for how long.

    ``data`` and ``validation`` are KITTI folders; without ``validation`` a share of ``data`` is held
    out. ``time_limit`` in seconds is for the whole command, decoding included. ``initial`` is a weights
    file or checkpoint of the same network to start from, ``teacher`` one of a larger network to learn from.
    ``stop_after`` ends the run at that step, to be
    resumed, with the schedule of the whole run.
    """

    data: tuple[Path, ...]
    out: Path
    validation: tuple[Path, ...] = ()
    cache_dir: Path | None = None
    time_limit: float | None = None
    resume: bool = False
    initial: Path | None = None
    teacher: Path | None = None
    stop_after: int | None = None


def request_to_json(request: RunRequest) -> dict[str, Any]:
    """``request`` for another process, with absolute paths."""
    return {
        **asdict(request),
        "data": [str(path.absolute()) for path in request.data],
        "validation": [str(path.absolute()) for path in request.validation],
        **{
            name: None if getattr(request, name) is None else str(getattr(request, name).absolute())
            for name in _OPTIONAL_PATHS
        },
    }


def request_from_json(content: dict[str, Any]) -> RunRequest:
    """The request that ``request_to_json`` returned."""
    paths = {name: content[name] and Path(content[name]) for name in _OPTIONAL_PATHS}
    several = {name: tuple(map(Path, content[name])) for name in ("data", "validation")}
    return RunRequest(**{**content, **paths, **several})
