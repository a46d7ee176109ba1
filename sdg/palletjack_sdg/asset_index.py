"""The user's own objects: packs of mesh files, and how each pack is turned into metres, z up.

The index is one YAML file: $PALLETJACK_ASSETS, or ~/.local/share/palletjack/assets.yaml. The meshes
stay where they are. A pack is a folder; its objects are the mesh files below it, named by their path
without the ending.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from palletjack_sdg.dataset import write_whole

SUFFIXES = (".glb", ".gltf", ".obj", ".ply", ".stl", ".usd", ".usda", ".usdc", ".usdz")
PREFIX = "assets:"


class AssetError(ValueError):
    """An asset that cannot be used; the message names the file or the pack and what was expected."""


class AssetPack(BaseModel):
    """A folder of mesh files. ``licence``: of the pack, as an SPDX identifier where there is one.
    ``attribution``: what its licence asks to be said. ``scale``: metres a unit of the file. ``up``: the axis
    that points up in the file. ``yaw_deg``: turn about the vertical that makes the front face x.
    ``label``: class name of its objects in label files, None for distractors."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Path
    licence: str = Field(min_length=1)
    attribution: str = ""
    scale: float = Field(default=1.0, gt=0.0)
    up: Literal["y", "z"] = "y"
    yaw_deg: float = 0.0
    label: str | None = Field(default=None, pattern=r"^\S+$")

    def objects(self) -> dict[str, Path]:
        """Return the pack's mesh files by name, in order."""
        files = sorted(path for path in self.folder.rglob("*") if path.suffix.lower() in SUFFIXES)
        return {path.relative_to(self.folder).with_suffix("").as_posix(): path for path in files}


def index_path() -> Path:
    """Return where the index is kept."""
    default = Path.home() / ".local" / "share" / "palletjack" / "assets.yaml"
    return Path(os.environ.get("PALLETJACK_ASSETS") or default)


def read_index() -> dict[str, AssetPack]:
    """Return the packs by name; none where there is no index yet.

    Raises:
        AssetError: the index is not readable as what it should be.
    """
    path = index_path()
    if not path.is_file():
        return {}
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        return {str(name): AssetPack.model_validate(entry) for name, entry in tree.items()}
    except (yaml.YAMLError, ValidationError, AttributeError) as error:
        raise AssetError(f"{path}: expected packs by name, found: {error}") from None


def add_pack(name: str, pack: AssetPack) -> None:
    """Write ``pack`` to the index, in place of an earlier one of that name.

    Raises:
        AssetError: the name holds a slash, colon or white space, or the folder has no mesh file.
    """
    if not name or any(character in "/:" or character.isspace() for character in name):
        raise AssetError(f"pack name: expected one without slash, colon and white space, found {name!r}")
    if not pack.objects():
        raise AssetError(f"{pack.folder}: expected mesh files ({', '.join(SUFFIXES)}), found none")
    packs = {**read_index(), name: pack}
    content = {key: entry.model_dump(mode="json") for key, entry in sorted(packs.items())}
    index_path().parent.mkdir(parents=True, exist_ok=True)
    write_whole(index_path(), yaml.safe_dump(content, sort_keys=False, allow_unicode=True).encode())


def find(family: str) -> tuple[AssetPack, Path]:
    """Return pack and file of the family ``assets:PACK/OBJECT``.

    Raises:
        AssetError: there is no such pack or object; the nearest name is given.
    """
    pack_name, _, name = family.removeprefix(PREFIX).partition("/")
    packs = read_index()
    if pack_name not in packs:
        raise AssetError(
            f"{family}: no pack {pack_name!r} in {index_path()}{_nearest(pack_name, list(packs))}"
        )
    objects = packs[pack_name].objects()
    if name not in objects:
        raise AssetError(f"{family}: no object {name!r} in the pack{_nearest(name, list(objects))}")
    return packs[pack_name], objects[name]


def _nearest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.3)
    return f"; did you mean {close[0]!r}?" if close else ""
