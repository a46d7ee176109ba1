"""Asset packs: folders of mesh files, pictures of surfaces and environment maps, with their licence.

The index is one YAML file: $PALLETJACK_ASSETS, or ~/.local/share/palletjack/assets.yaml. The files stay
where they are. What a pack holds is named by its path below the folder, without the ending.
"""

from __future__ import annotations

import difflib
import fnmatch
import hashlib
import os
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from palletjack_sdg.asset_licences import LicenceError, judge_licence
from palletjack_sdg.whole_file import write_whole

SUFFIXES = (".glb", ".gltf", ".obj", ".ply", ".stl", ".usd", ".usda", ".usdc", ".usdz")
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")
ENVIRONMENT_SUFFIXES = (".exr", ".hdr")
PREFIX = "assets:"
Kind = Literal["object", "picture", "environment"]
ENDINGS: dict[Kind, tuple[str, ...]] = {
    "object": SUFFIXES,
    "picture": PICTURE_SUFFIXES,
    "environment": ENVIRONMENT_SUFFIXES,
}


class AssetError(ValueError):
    """An asset that cannot be used; the message names the file or the pack and what was expected."""


class AssetPack(BaseModel):
    """A folder of files. ``licence``: of the pack, as an SPDX identifier where there is one.
    ``attribution``: what its licence asks to be said. ``include``: patterns of the files that count, below
    the folder. ``tile_m``: metres that a picture of a surface covers. Of meshes: ``scale``: metres a unit.
    ``up``: the axis that points up. ``yaw_deg``: turn about the vertical that makes the front face x.
    ``label``: class name of its objects in label files, None for distractors."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Path
    licence: str = Field(min_length=1)
    attribution: str = ""
    scale: float = Field(default=1.0, gt=0.0)
    up: Literal["y", "z"] = "y"
    yaw_deg: float = 0.0
    label: str | None = Field(default=None, pattern=r"^\S+$")
    tile_m: float = Field(default=2.0, gt=0.0)
    include: tuple[str, ...] = ()

    def files(self, kind: Kind) -> dict[str, Path]:
        """Return the pack's files of a kind by name, in order."""
        found = {}
        for path in sorted(self.folder.rglob("*")):
            below = path.relative_to(self.folder)
            wanted = not self.include or any(fnmatch.fnmatch(below.as_posix(), item) for item in self.include)
            if wanted and path.suffix.lower() in ENDINGS[kind]:
                found[below.with_suffix("").as_posix()] = path
        return found

    def objects(self) -> dict[str, Path]:
        """Return the pack's mesh files by name, in order."""
        return self.files("object")


def check_licence(name: str, pack: AssetPack) -> None:
    """Refuse a pack whose licence does not permit renders and trained weights to be shared.

    Raises:
        AssetError: naming the pack, its licence and what is permitted.
    """
    try:
        judge_licence(pack.licence, pack.attribution)
    except LicenceError as error:
        raise AssetError(f"pack {name}: {error}") from None


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
    if not any(pack.files(kind) for kind in ENDINGS):
        endings = ", ".join(ending for group in ENDINGS.values() for ending in group)
        raise AssetError(f"{pack.folder}: expected mesh files, pictures or maps ({endings}), found none")
    check_licence(name, pack)
    packs = {**read_index(), name: pack}
    content = {key: entry.model_dump(mode="json") for key, entry in sorted(packs.items())}
    index_path().parent.mkdir(parents=True, exist_ok=True)
    write_whole(index_path(), yaml.safe_dump(content, sort_keys=False, allow_unicode=True).encode())


def is_asset(name: str) -> bool:
    """Whether ``name`` is that of a file of a pack."""
    return name.startswith(PREFIX)


def find(name: str, kind: Kind = "object") -> tuple[AssetPack, Path]:
    """Return pack and file of ``assets:PACK/NAME``.

    Raises:
        AssetError: there is no such pack or file, or the pack's licence keeps it out of data sets; the
            nearest name is given.
    """
    pack_name, _, item = name.removeprefix(PREFIX).partition("/")
    packs = read_index()
    if pack_name not in packs:
        raise AssetError(f"{name}: no pack {pack_name!r} in {index_path()}{_nearest(pack_name, list(packs))}")
    pack = packs[pack_name]
    check_licence(pack_name, pack)
    files = pack.files(kind)
    if item not in files:
        raise AssetError(f"{name}: no {kind} {item!r} in the pack{_nearest(item, list(files))}")
    return pack, files[item]


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _nearest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.3)
    return f"; did you mean {close[0]!r}?" if close else ""
