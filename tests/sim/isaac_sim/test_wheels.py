"""What the closed loop takes for granted of Isaac Sim 6.2 beyond schemas: read in its wheels' sources."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import pytest

from palletjack_sdg.isaac_sim.usd_environment import ASSET_FOLDERS
from palletjack_sim.isaac_sim.graph import CAMERA_NODES, load_graph
from palletjack_sim.isaac_sim.movers import ORIENT, SCALE, TRANSLATE
from tests.sim.isaac_sim.test_graph import wheel_of_the_bridge

WHEELS = os.environ.get("ISAACSIM_WHEELS", "")
unpacked = pytest.mark.skipif(not WHEELS, reason="ISAACSIM_WHEELS is not set to a folder of unpacked wheels")


def source(name: str, folder: Path | None = None) -> ast.Module:
    """The one file of that name, below the extension whose name comes before the slash."""
    extension, _, file = name.partition("/")
    found = [path for path in (folder or Path(WHEELS)).rglob(file) if extension in str(path)]
    assert found, name
    return ast.parse(found[0].read_text(encoding="utf-8"))


def function(module: ast.Module, name: str) -> ast.FunctionDef:
    (found,) = (node for node in ast.walk(module) if isinstance(node, ast.FunctionDef) and node.name == name)
    return found


@unpacked
def test_the_stack_of_a_mover_is_the_one_that_isaac_sim_writes() -> None:
    module = source("isaacsim.core.experimental.prims/xform_prim.py")
    (order,) = (
        node.args[0]
        for node in ast.walk(function(module, "reset_xform_op_properties"))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("SetXformOpOrder")
    )
    assert ast.unparse(order) == "[xform_op_translate, xform_op_orient, xform_op_scale]"
    written = ast.unparse(function(module, "set_local_poses"))
    assert f"GetAttribute('{TRANSLATE}').Set(Gf.Vec3d(" in written
    assert f"GetAttribute('{ORIENT}')" in written
    assert f"GetAttribute('{SCALE}').Set(Gf.Vec3d(" in ast.unparse(function(module, "set_local_scales"))


@unpacked
def test_a_kinematic_body_is_made_as_isaac_sim_makes_one() -> None:
    made = ast.unparse(
        function(source("isaacsim.core.experimental.utils/impl/physics.py"), "apply_rigid_body")
    )
    assert "UsdPhysics.RigidBodyAPI.Apply(prim)" in made
    assert "CreateKinematicEnabledAttr(kinematic)" in made


@unpacked
def test_the_asset_root_s_folders_are_those_of_the_wheel() -> None:
    module = source("isaacsim.storage.native/nucleus.py")
    (folders,) = (
        ast.literal_eval(node.value)
        for node in ast.walk(module)
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_ASSET_ROOT_SUBPATHS"
    )
    assert tuple(f"{folder}/" for folder in folders) == ASSET_FOLDERS


@unpacked
def test_a_missing_reference_is_an_exception_of_no_kind() -> None:
    """So it is caught as one, and the stand-in raises it."""
    adds = function(source("isaacsim.core.experimental.utils/impl/stage.py"), "add_reference_to_stage")
    raised = [ast.unparse(node.exc) for node in ast.walk(adds) if isinstance(node, ast.Raise) and node.exc]
    assert any(text.startswith("Exception(") and "might not exist" in text for text in raised)


@pytest.mark.parametrize("node", CAMERA_NODES)
def test_the_camera_s_nodes_start_again_when_they_are_enabled_again(node: str) -> None:
    """A node that is switched off resets its state; one without state begins anew."""
    folder = wheel_of_the_bridge()
    if folder is None:
        pytest.skip("the wheel isaacsim-ros2 is not installed")
    name = load_graph().nodes[node].type.rpartition(".")[2]
    compute = function(source(f"isaacsim.ros2.nodes/Ogn{name}.py", folder), "compute")
    off, started = [item for item in compute.body if isinstance(item, ast.If)][:2]
    assert ast.unparse(off.test) == "not db.inputs.enabled"
    assert "state.custom_reset()" in ast.unparse(off)
    assert "state.initialized" in ast.unparse(started.test)
