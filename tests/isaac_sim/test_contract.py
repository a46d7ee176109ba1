"""The contract data: held to the wheels where they are unpacked, and the stand-in held to the contract."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from palletjack_sdg.isaac_sim import contract_folder
from palletjack_sdg.isaac_sim.annotators import (
    ANNOTATORS,
    black_share,
    depth,
    instance_ids,
    radiance,
)
from palletjack_sdg.isaac_sim.capture import IsaacSettings
from palletjack_sdg.isaac_sim.releases import ReleaseError, find_release, load_releases
from palletjack_sdg.isaac_sim.surroundings import load_environments
from palletjack_sdg.render.base import RenderError
from palletjack_sdg.scene import Camera
from tests.isaac_sim.fake_isaac_sim import signature

ROOT = Path(__file__).parents[2]
# Folder with the unpacked wheels isaacsim-core, -replicator and -storage 6.2.0.0, side by side or merged.
WHEELS = os.environ.get("ISAACSIM_WHEELS", "")
CAMERA = Camera(32, 16, 60.0, np.eye(4))


def contract() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((contract_folder() / "api.yaml").read_text())
    return document


def defined_functions(dotted: str) -> list[ast.arguments]:
    """Arguments of every function of that dotted name in the wheels."""
    module, _, name = dotted.rpartition(".")
    folder = module.replace(".", "/")
    places = [*Path(WHEELS).rglob(f"{folder}.py"), *Path(WHEELS).rglob(f"{folder}/**/*.py")]
    last = module.rpartition(".")[2]
    places += [p for p in Path(WHEELS).rglob(f"impl/{last}.py") if module.rpartition(".")[0] in str(p)]
    found = []
    for place in places:
        for node in ast.walk(ast.parse(place.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name == name:
                found.append(node.args)
    return found


def shape(arguments: ast.arguments) -> tuple[list[str], list[str]]:
    return (
        [item.arg for item in arguments.args if item.arg not in ("self", "cls")],
        [item.arg for item in arguments.kwonlyargs],
    )


@pytest.mark.skipif(not WHEELS, reason="ISAACSIM_WHEELS is not set to a folder of unpacked wheels")
def test_signatures_are_those_of_the_wheels() -> None:
    compared = 0
    for name, entry in contract()["functions"].items():
        if entry["source"] != "wheel" or name.endswith("SimulationApp"):
            continue
        listed = ast.parse(f"def function({entry['signature']}): pass").body[0].args  # type: ignore[attr-defined]
        real = defined_functions(name)
        assert real, name
        assert shape(listed) in [shape(arguments) for arguments in real], name
        compared += 1
    assert compared >= 12


def calls_in_wheels(dotted: str) -> list[ast.Call]:
    """Every call in the wheels whose name ends with the last two or three words of ``dotted``."""
    words = dotted.removeprefix("omni.replicator.core.")
    found = []
    for place in Path(WHEELS).rglob("*.py"):
        text = place.read_text(errors="replace")
        if words in text:
            calls = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call))
            found += [node for node in calls if ast.unparse(node.func).endswith("rep." + words)]
    return found


@pytest.mark.skipif(not WHEELS, reason="ISAACSIM_WHEELS is not set to a folder of unpacked wheels")
def test_replicators_names_are_called_so_in_the_wheels() -> None:
    """Replicator is in no wheel, but theirs call it: by every argument that the contract takes from them."""
    compared = 0
    for name, entry in contract()["functions"].items():
        if entry["source"] not in ("published", "calls"):
            continue
        calls = calls_in_wheels(name)
        assert calls, name
        if entry["source"] == "calls":
            parameters = list(signature(entry["signature"]).parameters)
            given = {keyword.arg for call in calls for keyword in call.keywords}
            given |= {word for call in calls for word in parameters[: len(call.args)]}
            assert set(parameters) <= given, name
        compared += 1
    assert compared >= 3


@pytest.mark.skipif(not WHEELS, reason="ISAACSIM_WHEELS is not set to a folder of unpacked wheels")
def test_shipped_environments_are_opened_in_the_wheels() -> None:
    for name, environment in load_environments().items():
        package = environment.read.split(" ")[0].replace(".", "/")
        places = [place for place in Path(WHEELS).rglob("*.py") if package in place.as_posix()]
        assert any(f'"{environment.url}"' in place.read_text() for place in places), name


def test_every_name_of_the_release_table_is_in_the_contract() -> None:
    functions = contract()["functions"]
    for release in load_releases():
        for role, name in release.names.items():
            known = name if name != "omni.timeline" else "omni.timeline.get_timeline_interface"
            assert known in functions, f"{release.name}: {role}"
            allowed = functions[known].get("releases", contract()["releases"])
            assert release.name in allowed, f"{release.name}: {role}: {known}"
        assert set(release.renderers.values()) <= set(contract()["renderers"])
    assert set(ANNOTATORS) < set(contract()["annotators"])


@pytest.mark.parametrize(
    ("version", "release"),
    [("6.2.0", "6"), ("6.0.1-rc.3", "6"), ("5.1.0", "5"), ("4.5.0-rc.36+release.19112", "4.5"), ("7.0", "6")],
)
def test_releases_by_version(version: str, release: str) -> None:
    assert find_release(version).name == release


@pytest.mark.parametrize("version", ["4.2.0", "2023.1.1", "", "main"])
def test_an_unknown_release_is_named(version: str) -> None:
    with pytest.raises(ReleaseError, match=r"version: expected one of 6, 5, 4\.5"):
        find_release(version)


PROGRAMS = {
    "import of omni before the app": ("import omni.replicator.core", "before SimulationApp"),
    "import of pxr before the app": ("import pxr", "before SimulationApp"),
    "unknown launch option": ("isaacsim.SimulationApp({'headles': True})", "unknown \\['headles'\\]"),
    "unknown renderer": ("isaacsim.SimulationApp({'renderer': 'RTX'})", "unknown RTX"),
    "second app": ("isaacsim.SimulationApp(); isaacsim.SimulationApp()", "made twice"),
    "name of another release": (
        "isaacsim.SimulationApp(); import isaacsim.core.experimental.utils.stage",
        "no module isaacsim.core.experimental",
    ),
    "unknown argument": (
        "isaacsim.SimulationApp(); import omni.replicator.core as rep; rep.orchestrator.step(subframes=3)",
        "unexpected keyword argument 'subframes'",
    ),
    "step without annotators": (
        "isaacsim.SimulationApp(); import omni.replicator.core as rep; rep.orchestrator.step()",
        "no annotator",
    ),
    "unknown annotator": (
        "isaacsim.SimulationApp(); import omni.replicator.core as rep;"
        "rep.AnnotatorRegistry.get_annotator('hdr')",
        "no annotator hdr",
    ),
    "render product before a stage": (
        "isaacsim.SimulationApp(); import omni.replicator.core as rep;"
        "rep.create.render_product('/World/Camera', (8, 8))",
        "before the stage has loaded",
    ),
    "call after close": ("app = isaacsim.SimulationApp(); app.close(); app.update()", "after SimulationApp"),
}


@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_the_stand_in_refuses(name: str) -> None:
    program, message = PROGRAMS[name]
    install = "from tests.isaac_sim.fake_isaac_sim import FakeIsaacSim; FakeIsaacSim('5').install()"
    done = subprocess.run(
        [sys.executable, "-c", f"{install}\nimport isaacsim\n{program}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert re.search(message, done.stderr.splitlines()[-1])


def test_signatures_are_read_from_text() -> None:
    read = signature("a, b=-1, *, c, d='x'")
    assert str(read) == "(a, b=-1, *, c, d='x')"
    with pytest.raises(TypeError):
        read.bind(1, d=2)


def rgba(value: float) -> np.ndarray:
    return np.full((16, 32, 4), value, dtype=np.float16)


def test_radiance_of_overflowing_halves_stays_finite() -> None:
    data = rgba(1.0)
    data[0, 0] = np.inf
    data[0, 1] = np.nan
    image = radiance(data, CAMERA)
    assert image.dtype == np.float32
    assert image[0, 0].tolist() == [65504.0] * 3
    assert image[0, 1].tolist() == [0.0] * 3


@pytest.mark.parametrize("data", [np.zeros((16, 32, 4), np.uint8), np.zeros((16, 31, 4), np.float16)])
def test_an_image_of_another_kind_is_refused(data: np.ndarray) -> None:
    with pytest.raises(RenderError, match="HdrColor: expected shape"):
        radiance(data, CAMERA)


def test_depth_of_nothing_is_infinite() -> None:
    data = np.full((16, 32), 2.0, np.float32)
    data[0] = [0.0] * 16 + [np.nan] * 16
    found = depth(data, CAMERA)
    assert np.isinf(found[0]).all()
    assert (found[1:] == 2.0).all()


def test_ids_follow_the_paths_of_prims() -> None:
    ids = np.zeros((16, 32), np.uint32)
    ids[0, :5] = [1, 2, 3, 7, 4]
    labels = {
        "0": "BACKGROUND",
        1: "UNLABELLED",
        "2": "/World/Objects/object_00012/part_003",
        "3": "/World/Objects/object_00012/asset/model/wheel",
        "4": "/World/Objects/object_000120",
        "7": "/World/Room/surface_00",
    }
    found = instance_ids({"data": ids, "info": {"idToLabels": labels}}, CAMERA)
    assert found[0, :6].tolist() == [0, 12, 12, 0, 120, 0]
    del labels["7"]
    with pytest.raises(RenderError, match="id 7: expected a path"):
        instance_ids({"data": ids, "info": {"idToLabels": labels}}, CAMERA)
    with pytest.raises(RenderError, match=r"expected data and info\.idToLabels"):
        instance_ids(ids, CAMERA)


def test_black_is_counted_by_tiles() -> None:
    image = np.ones((64, 64, 3), np.float32)
    image[::2] = 0.0
    assert black_share(image) == 0.0
    image[:32] = 0.0
    assert black_share(image) == 0.5


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match=r"IsaacSettings\.subframes: expected at least 1, found 0"):
        IsaacSettings(subframes=0)
