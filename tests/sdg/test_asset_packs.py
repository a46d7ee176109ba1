"""Known packs: fetched, taken out of their package, verified, credited; and which licences are refused."""

from __future__ import annotations

import base64
import io
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from palletjack_cli.main import app
from palletjack_sdg import asset_install
from palletjack_sdg.asset_download import KnownPack, members
from palletjack_sdg.asset_index import AssetError, AssetPack, add_pack, find, index_path
from palletjack_sdg.asset_install import install_pack, known_packs
from palletjack_sdg.asset_licences import LicenceError, judge_licence


@pytest.fixture(autouse=True)
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PALLETJACK_ASSETS", str(tmp_path / "index" / "assets.yaml"))


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An npm archive as that of the pack "environments": one map in a script, and another file."""
    _, picture = cv2.imencode(".hdr", np.full((8, 16, 3), 2.0, np.float32))
    script = f"export default 'data:application/exr;base64,{base64.b64encode(picture.tobytes()).decode()}'"

    def fetch(known: KnownPack, folder: Path) -> Path:
        archive = folder / "pack.tgz"
        with tarfile.open(archive, "w:gz") as tar:
            for name in ("package/hdri/hall.hdr.js", "package/models/suzi.js"):
                entry = tarfile.TarInfo(name)
                entry.size = len(script)
                tar.addfile(entry, io.BytesIO(script.encode()))
        return archive

    monkeypatch.setattr(asset_install, "fetch", fetch)
    packs = {
        name: pack.model_copy(update={"files": ("package/hdri/*",)}) for name, pack in known_packs().items()
    }
    monkeypatch.setattr(asset_install, "known_packs", lambda: packs)


def test_a_pack_is_installed_verified_and_listed(package: None) -> None:
    run = CliRunner()
    installed = run.invoke(app, ["assets", "install", "environments"])
    assert installed.exit_code == 0, installed.output
    assert "environments: 1 environments, CC0-1.0" in installed.output
    path = find("assets:environments/hall", "environment")[1]
    assert path.name == "hall.hdr"
    assert [item.name for item in path.parent.iterdir() if "suzi" in item.name] == []
    listed = run.invoke(app, ["assets", "list"]).output
    assert "assets:environments/hall (environment)" in listed
    assert "not installed: miniworld (pip miniworld, Apache-2.0)" in listed
    assert run.invoke(app, ["assets", "check"]).exit_code == 0
    path.write_bytes(path.read_bytes() + b"x")
    checked = run.invoke(app, ["assets", "check"])
    assert checked.exit_code == 1
    assert "hall.hdr: expected the SHA-256 that was installed" in checked.output
    install_pack("environments")
    assert run.invoke(app, ["assets", "check"]).exit_code == 0


def test_what_cannot_be_installed_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AssetError, match="expected one of miniworld, environments, furniture"):
        install_pack("warehouse")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(AssetError, match="expected npm to fetch it with, found none"):
        install_pack("environments")
    with pytest.raises(AssetError, match="expected apt-get to fetch it with, found none"):
        install_pack("furniture")
    assert not index_path().exists()


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="no dpkg-deb here")
def test_objects_come_out_of_the_archives_of_a_debian_package(tmp_path: Path) -> None:
    known = known_packs()["furniture"]
    root = tmp_path / "root"
    inner = root / known.archives[0]
    inner.parent.mkdir(parents=True)
    with zipfile.ZipFile(inner, "w") as catalogue:
        for name in ("box/box.obj", "box/box.mtl", "box/wood.png", "box.png", "../../out.obj"):
            catalogue.writestr(f"blendswap-cc-0/{name}", name)
        catalogue.writestr("PluginFurnitureCatalog.properties", "id=1")
    (root / "DEBIAN").mkdir()
    (root / "DEBIAN/control").write_text(
        f"Package: {known.package}\nVersion: 1\nArchitecture: all\nMaintainer: A <a@b.c>\nDescription: a\n"
    )
    archive = tmp_path / "pack.deb"
    command = ["dpkg-deb", "--root-owner-group", "--build", str(root), str(archive)]
    subprocess.run(command, check=True, capture_output=True)
    assert dict(members(archive, known)) == {
        "box/box.mtl": b"box/box.mtl",
        "box/box.obj": b"box/box.obj",
        "box/wood.png": b"box/wood.png",
    }
    archive.write_bytes(b"no package")
    with pytest.raises(AssetError, match=r"pack.deb: dpkg-deb cannot open it"):
        dict(members(archive, known))


@pytest.mark.parametrize(
    "licence", ["CC-BY-NC-4.0", "CC-BY-SA-3.0", "CC-BY-ND-4.0", "GPL-3.0-only", "unheard-of"]
)
def test_licences_that_bind_frames_are_refused(tmp_path: Path, licence: str) -> None:
    (tmp_path / "box.obj").write_text("v 0 0 0\n")
    with pytest.raises(AssetError, match=rf"pack mine: licence: expected one of CC0-1.0, .*'{licence}'"):
        add_pack("mine", AssetPack(folder=tmp_path, licence=licence, attribution="somebody"))
    # One that was written into the index by hand is not used either.
    index_path().parent.mkdir(parents=True)
    entry = {"mine": {"folder": str(tmp_path), "licence": licence}}
    index_path().write_text(yaml.safe_dump(entry))
    with pytest.raises(AssetError, match="pack mine: licence"):
        find("assets:mine/box")


def test_attributions_are_asked_for_and_written(tmp_path: Path) -> None:
    (tmp_path / "box.obj").write_text("v 0 0 0\n")
    with pytest.raises(LicenceError, match="attribution: expected who made it"):
        judge_licence("CC-BY-4.0", " ")
    add_pack("theirs", AssetPack(folder=tmp_path, licence="CC-BY-4.0", attribution="Ada, example.org"))
    add_pack("free", AssetPack(folder=tmp_path, licence="CC0-1.0"))
    out = tmp_path / "ATTRIBUTION.md"
    result = CliRunner().invoke(app, ["assets", "attribution", "--out", str(out)])
    assert "1 packs ask to be named" in result.output
    assert "- theirs (CC-BY-4.0): Ada, example.org\n" in out.read_text()
    assert (
        CliRunner().invoke(app, ["assets", "attribution", "--out", str(out), "--pack", "no"]).exit_code == 2
    )
