"""Shards of one data set, made on any machines, become one folder with one manifest.

The new folder grows under a temporary name and appears whole. A merge that was stopped goes on where it
was when it is given the same shards again.
"""

from __future__ import annotations

import contextlib
import filecmp
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from palletjack_sdg.dataset import Dataset, DatasetError, write_manifest
from palletjack_sdg.generate import IDENTITY_KEYS, read_identity
from palletjack_sdg.whole_file import write_whole

SOURCES_NAME = ".sources.json"
OPTIONAL_FOLDERS = ("plans", "annotations", "masks", "depth", "normals")


@dataclass(frozen=True)
class MergeSummary:
    """Frames of the new data set, how many of them several shards held, and the manifest's versions that
    are not equal in all shards."""

    frames: int
    shared: int
    differing_versions: tuple[str, ...]


def merge_datasets(
    sources: Sequence[Path],
    out: Path,
    link: bool = True,
    on_file: Callable[[int, int], None] | None = None,
) -> MergeSummary:
    """Write the frames of ``sources`` to the new folder ``out``.

    ``link`` makes hard links where the file system can, else copies. ``on_file`` hears how many of how many
    files are done. A frame that several shards hold must have equal bytes in all of them.

    Raises:
        DatasetError: a shard is no data set, belongs to another one (recipe, seed, settings), or holds
            another frame under the same index; or ``out`` is not empty.
        OSError: ``out`` cannot be written.
    """
    if not sources:
        raise DatasetError("merge: expected at least one data set, found none")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DatasetError(f"{out}: expected a new or empty folder, found something in it")
    manifests = [read_identity(source) for source in sources]
    _check_same(sources, manifests)
    files, shared = _gather(sources, manifests)
    temporary = out.with_name(f".{out.name}.merge.tmp")
    _prepare(temporary, sources)
    for done, (name, source) in enumerate(sorted(files.items()), start=1):
        _place(source, temporary / name, link)
        if on_file is not None:
            on_file(done, len(files))
    dataset = Dataset(temporary, manifests[0]["image_format"])
    failed = {
        index: reason
        for manifest in manifests
        for index, reason in manifest.get("failed", {}).items()
        if not dataset.is_complete(int(index))
    }
    content = {key: value for key, value in manifests[0].items() if key not in ("format", "counts", "failed")}
    write_manifest(dataset, {**content, "failed": failed})
    (temporary / SOURCES_NAME).unlink()
    if out.exists():
        out.rmdir()
    os.replace(temporary, out)
    frames = sum(1 for name in files if name.startswith("images/"))
    return MergeSummary(frames, shared, _differing_versions(manifests))


def _check_same(sources: Sequence[Path], manifests: Sequence[dict[str, Any]]) -> None:
    for source, manifest in zip(sources[1:], manifests[1:], strict=True):
        for key in IDENTITY_KEYS:
            if manifest.get(key) != manifests[0].get(key):
                raise DatasetError(
                    f"{source / 'dataset.json'}: {key}: expected {manifests[0].get(key)!r} "
                    f"as in {sources[0]}, found {manifest.get(key)!r}"
                )


def _gather(sources: Sequence[Path], manifests: Sequence[dict[str, Any]]) -> tuple[dict[str, Path], int]:
    """Files of complete frames by their name in the new folder, and the number of frames held twice."""
    files: dict[str, Path] = {}
    shared = 0
    for source, manifest in zip(sources, manifests, strict=True):
        dataset = Dataset(source, manifest["image_format"])
        for image in sorted((source / "images").glob(f"[0-9]*.{dataset.image_format}")):
            if not dataset.label(int(image.stem)).is_file():
                continue
            names = _frame_files(source, image, manifest)
            twice = [name for name in names if name in files]
            for name in twice:
                if not filecmp.cmp(files[name], source / name, shallow=False):
                    raise DatasetError(
                        f"{source / name}: expected the bytes of {files[name]}, found others: "
                        "the two shards were not made alike"
                    )
            shared += f"images/{image.name}" in twice
            for name in names:
                files.setdefault(name, source / name)
    return files, shared


def _frame_files(source: Path, image: Path, manifest: dict[str, Any]) -> list[str]:
    names = [f"images/{image.name}", f"labels/{image.stem}.txt"]
    for folder in OPTIONAL_FOLDERS:
        found = [f"{folder}/{path.name}" for path in sorted((source / folder).glob(f"{image.stem}.*"))]
        if not found and folder in manifest["extras"]:
            raise DatasetError(f"{source / folder}: expected a file of frame {image.stem}, found none")
        names += found
    return names


def _prepare(temporary: Path, sources: Sequence[Path]) -> None:
    """Make the temporary folder, or keep it if it belongs to the same shards."""
    wanted = json.dumps([str(source.resolve()) for source in sources])
    note = temporary / SOURCES_NAME
    if not note.is_file() or note.read_text(encoding="utf-8") != wanted:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        write_whole(note, wanted.encode())
    for folder in ("images", "labels"):
        (temporary / folder).mkdir(exist_ok=True)


def _place(source: Path, target: Path, link: bool) -> None:
    if target.is_file() and filecmp.cmp(source, target, shallow=True):
        return
    target.parent.mkdir(exist_ok=True)
    target.unlink(missing_ok=True)
    if link:
        # It fails across file systems, and on those without hard links.
        with contextlib.suppress(OSError):
            os.link(source, target)
            return
    partial = target.with_name(f".{target.name}.tmp")
    shutil.copy2(source, partial)
    os.replace(partial, target)


def _differing_versions(manifests: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    versions = [manifest.get("versions", {}) for manifest in manifests]
    names = sorted({name for entry in versions for name in entry})
    return tuple(name for name in names if len({entry.get(name) for entry in versions}) > 1)
