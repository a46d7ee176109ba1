"""Shows frames by the functional API on the stand-in's stage, and prints as JSON what is there.

python -m tests.isaac_sim.show_on_stage FOLDER ENVIRONMENT_FILE
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from tests.isaac_sim.fake_isaac_sim import FakeIsaacSim

SEED, FRAMES, FRAMES_ON_A_STAGE = 3, 3, 2


def main() -> int:
    """Compare each frame's prims with those of a stage of its own, written by USD alone."""
    folder, hall = Path(sys.argv[1]), sys.argv[2]
    fake = FakeIsaacSim("6").install()
    from palletjack_sdg.compose import build_scene
    from palletjack_sdg.isaac_sim import staging
    from palletjack_sdg.isaac_sim.app import IsaacSim
    from palletjack_sdg.isaac_sim.surroundings import open_surroundings, without_room
    from palletjack_sdg.isaac_sim.usd_environment import Environment, Origin
    from palletjack_sdg.plan import plan_frame
    from palletjack_sdg.recipe import load_recipe

    sim = IsaacSim()
    import omni.replicator.core as rep
    from pxr import Usd

    from palletjack_sdg.isaac_sim.stage import write_stage

    staging.FRAMES_ON_A_STAGE = FRAMES_ON_A_STAGE
    surroundings = open_surroundings(
        Environment("hall", hall, False, Origin(x=1.0, y=2.0, yaw_deg=30.0)), str
    )
    shown = staging.create_staging("functional", sim, rep, folder / "shown", surroundings)
    recipe = load_recipe("warehouse_v1")
    # Goods alone are objects enough; planning among vehicles and people takes longer than showing them.
    fewer = {"instances": (22, 26), "vehicle_count": (0, 0), "people_count": (0, 0), "near_person": 0.0}
    trucks = recipe.trucks.model_copy(update={"states": {"free_standing": 1.0}})
    distractors = recipe.distractors.model_copy(update=fewer)
    recipe = recipe.model_copy(update={"trucks": trucks, "distractors": distractors})
    frames = []
    (folder / "shown").mkdir()
    for index in range(FRAMES):
        scene = without_room(build_scene(plan_frame(recipe, SEED, index)))
        write_stage(scene, folder / f"{index}.usdc", surroundings=surroundings)
        expected = contents(Usd.Stage.Open(str(folder / f"{index}.usdc")), "/World")
        camera = shown.show(scene)
        root = camera.removesuffix("/Camera")
        found = {**contents(fake.stage, "/World/Environment"), **contents(fake.stage, root)}
        found = {path.replace(root, "/World"): value for path, value in found.items()}
        shown.clear()
        left = [str(prim.GetPath()) for prim in fake.stage.GetPrimAtPath("/World").GetChildren()]
        frames.append({"differences": differences(expected, found), "prims": len(found), "left": left})
    files = [path.name for path in (folder / "shown").iterdir() if path.is_dir()]
    names = [name for name, _ in fake.calls]
    print(json.dumps({"frames": frames, "folders": files, "calls": names}))
    return 0


def contents(stage: Any, root: str) -> dict[str, dict[str, Any]]:
    """World transform, attributes and material of every prim at and below ``root``."""
    from pxr import Usd, UsdGeom, UsdShade

    cache, found = UsdGeom.XformCache(), {}
    for prim in Usd.PrimRange(stage.GetPrimAtPath(root)):
        values = {
            attribute.GetName(): attribute.Get()
            for attribute in prim.GetAttributes()
            if not attribute.GetName().startswith("xformOp")
        }
        bound = UsdShade.MaterialBindingAPI(prim).GetDirectBinding().GetMaterialPath()
        path = str(prim.GetPath())
        found[path] = {
            "matrix": np.array(cache.GetLocalToWorldTransform(prim)),
            "material": str(bound).replace(root, "/World"),
            **{name: repr(value) if value is not None else "" for name, value in values.items()},
        }
    found.pop("/World", None)
    return found


def differences(expected: dict[str, dict[str, Any]], found: dict[str, dict[str, Any]]) -> list[str]:
    """Paths that only one has, and values that are not the same."""
    told = [f"only one has {path}" for path in sorted(set(expected) ^ set(found) - {"/World"})]
    for path in sorted(set(expected) & set(found)):
        for name in sorted(set(expected[path]) | set(found[path])):
            ours, theirs = (side[path].get(name) for side in (expected, found))
            if name == "matrix":
                if not np.allclose(ours, theirs, atol=1e-6):
                    told.append(f"{path}: matrix: {ours} and {theirs}")
            elif not name.startswith("inputs:file") and ours != theirs:
                told.append(f"{path}: {name}: {ours} and {theirs}")
    return told


if __name__ == "__main__":
    raise SystemExit(main())
