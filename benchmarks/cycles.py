"""The embedded path tracer against Blender Cycles: seconds a frame at equal noise, as a ratio.

    python3.11 -m venv out/cycles_venv && out/cycles_venv/bin/pip install bpy==4.5.0
    palletjack benchmark cycles -- --python out/cycles_venv/bin/python --out benchmarks/results/cycles.json

bpy is GPL, so it stays in an environment of its own, outside the product. One frame of the default recipe is
made the same for both: textures become their mean colours, see-through sheets are left out, the lens bends
nothing, both engines filter pixels with a box, denoise with Open Image Denoise (albedo and normals) and use
equal path lengths. Noise is the PSNR of the displayed image (exposed, gamma 2.2) against the engine's own
reference of another seed. Seconds are interpolated at the PSNR that the embedded engine reaches at --spp.
``mean_ratio`` tells whether the two pictures are equally bright. Run it on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palletjack_sdg.compose import build_scene
from palletjack_sdg.plan import plan_frame
from palletjack_sdg.recipe import load_recipe
from palletjack_sdg.render import RenderSettings, create_renderer
from palletjack_sdg.render.merge import merge
from palletjack_sdg.scene import Instance, Scene, Surface
from palletjack_sdg.sensor import srgb_decode

Image = NDArray[np.float32]
MAX_DEPTH = RenderSettings.max_depth


def main() -> None:
    """Render with both, compare, print or write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--python", type=Path, required=True, help="interpreter of the environment with bpy")
    parser.add_argument("--recipe", default="warehouse_v1")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--index", type=int, default=0, help="which frame")
    parser.add_argument("--width", type=int, default=960)
    parser.add_argument("--spp", type=int, default=RenderSettings.spp, help="samples whose noise is the aim")
    parser.add_argument("--ladder", type=int, nargs="+", default=[1, 2, 4, 6, 8, 16, 32])
    parser.add_argument("--reference", type=int, default=256, help="samples of each engine's reference")
    parser.add_argument("--no-denoise", action="store_true")
    parser.add_argument("--out", type=Path, help="JSON file; standard output without it")
    options = parser.parse_args()
    if options.spp not in options.ladder:
        options.ladder = sorted({*options.ladder, options.spp})
    scene = plain_scene(options)
    # The first of each is a warm-up: kernels are compiled, data structures built.
    renders = [(options.ladder[0], 1), *((spp, 2) for spp in options.ladder), (options.reference, 99)]
    ours = render_ours(scene, renders, not options.no_denoise)
    cycles, version = render_cycles(scene, renders, options.python, not options.no_denoise)
    rows_ours, rows_cycles = curve(ours, renders), curve(cycles, renders)
    aim = next(row["psnr_db"] for row in rows_ours if row["spp"] == options.spp)
    own = next(row["seconds"] for row in rows_ours if row["spp"] == options.spp)
    other = seconds_at(rows_cycles, aim)
    result = {
        "what": "seconds a frame at equal PSNR, embedded path tracer and Cycles",
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": {"processor": platform.machine(), "cores": os.cpu_count(), "load": os.getloadavg()[0]},
        "frame": {"recipe": options.recipe, "seed": options.seed, "index": options.index},
        "size": [scene.camera.width, scene.camera.height],
        "denoised": not options.no_denoise,
        "blender": version,
        "mean_ratio": round(float(cycles[-1][0].mean() / ours[-1][0].mean()), 4),
        "embedded": rows_ours,
        "cycles": rows_cycles,
        "psnr_db": aim,
        "embedded_s": own,
        "cycles_s": other,
        "ratio": None if other is None else round(other / own, 3),
    }
    text = json.dumps(result, indent=2) + "\n"
    if options.out is None:
        sys.stdout.write(text)
    else:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text, encoding="utf-8")


def plain_scene(options: argparse.Namespace) -> Scene:
    """Return the frame with what both engines have: opaque parts of one colour, an ideal lens."""
    scene = build_scene(plan_frame(load_recipe(options.recipe), options.seed, options.index))
    instances = []
    for instance in scene.instances:
        parts = []
        for part in instance.prop.parts:
            material = part.material
            if material.opacity < 1.0 or len(part.faces) == 0:
                continue
            if material.texture is not None:
                mean = material.texture.reshape(-1, 3).mean(axis=0) / 255.0
                material = replace(material, texture=None, color=tuple(float(value) for value in mean))
            parts.append(replace(part, material=material, uvs=None, smooth=False))
        if parts:
            prop = replace(instance.prop, parts=tuple(parts))
            instances.append(Instance(instance.instance_id, prop, instance.pose, instance.label))
    surfaces = [
        replace(
            surface,
            texture=np.full((4, 4, 3), surface.texture.reshape(-1, 3).mean(axis=0), np.uint8),
            roughness_texture=None,
        )
        for surface in scene.surfaces
    ]
    height = round(options.width * 544 / 960)
    camera = replace(scene.camera, width=options.width, height=height, distortion=(0.0,) * 5)
    return Scene(tuple(instances), tuple(surfaces), scene.lights, camera, scene.ambient)


def render_ours(scene: Scene, renders: list[tuple[int, int]], denoise: bool) -> list[tuple[Image, float]]:
    """Return image and seconds of each render, scene update included, ids and labels not."""
    done = []
    for spp, seed in renders:
        renderer = create_renderer(RenderSettings(spp=spp, denoise=denoise, variant="cpu"))
        renderer.render(scene, seed)
        start = time.perf_counter()
        result = renderer.render(scene, seed)
        done.append((result.linear, time.perf_counter() - start))
    return done


def render_cycles(
    scene: Scene, renders: list[tuple[int, int]], python: Path, denoise: bool
) -> tuple[list[tuple[Image, float]], str]:
    """Return image and seconds of each render of Cycles, and Blender's version."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.savez(folder / "scene.npz", **mesh_arrays(scene))
        camera = scene.camera
        job: dict[str, Any] = {
            "scene": str(folder / "scene.npz"),
            "out": name,
            "renders": renders,
            "denoise": denoise,
            "max_depth": MAX_DEPTH,
            "threads": os.cpu_count(),
            "width": camera.width,
            "height": camera.height,
            "hfov_deg": camera.hfov_deg,
            "camera": camera.pose.tolist(),
            "ambient": list(scene.ambient),
            "lights": [
                {"center": light.center, "u": light.u, "v": light.v, "radiance": light.radiance}
                for light in scene.lights
                if max(light.radiance) > 0.0
            ],
        }
        (folder / "job.json").write_text(json.dumps(job))
        script = Path(__file__).with_name("cycles_render.py")
        # Its interpreter has other packages than ours.
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        subprocess.run(
            # -P: or Blender would take this very file for its add-on "cycles".
            [str(python), "-P", str(script), str(folder / "job.json")],
            check=True,
            env=environment,
            stdout=subprocess.DEVNULL,
        )
        document = json.loads((folder / "cycles.json").read_text())
        done = [(np.load(entry["npy"]), float(entry["seconds"])) for entry in document["renders"]]
    return done, str(document["version"])


def mesh_arrays(scene: Scene) -> dict[str, NDArray[Any]]:
    """Vertices and faces of objects and room, with linear colour, roughness and metalness of each face."""
    solid = merge(scene.instances, scene.camera, 64).solid
    vertices, faces = [solid.vertices], [solid.faces.astype(np.int64)]
    color, rough, metal = [solid.color], [solid.roughness], [solid.metallic]
    offset = len(solid.vertices)
    for surface in scene.surfaces:
        vertices.append(np.asarray(surface.corners, np.float32))
        faces.append(np.array([[0, 1, 2], [0, 2, 3]]) + offset)
        color.append(np.tile(_surface_color(surface), (2, 1)))
        rough.append(np.full(2, np.clip(surface.roughness, 0.05, 1.0), np.float32))
        metal.append(np.full(2, surface.metallic, np.float32))
        offset += 4
    return {
        "vertices": np.concatenate(vertices),
        "faces": np.concatenate(faces),
        "face_color": np.concatenate(color),
        "face_roughness": np.concatenate(rough),
        "face_metallic": np.concatenate(metal),
    }


def _surface_color(surface: Surface) -> NDArray[np.float32]:
    return np.asarray(srgb_decode(surface.texture[0, 0].astype(np.float32) / 255.0), np.float32)


def curve(done: list[tuple[Image, float]], renders: list[tuple[int, int]]) -> list[dict[str, float]]:
    """PSNR against the last render and seconds of each step of the ladder."""
    reference = done[-1][0]
    exposure = 0.5 / max(float(np.percentile(reference, 90)), 1e-6)
    return [
        {"spp": spp, "seconds": round(seconds, 3), "psnr_db": round(psnr(image, reference, exposure), 2)}
        for (image, seconds), (spp, _) in list(zip(done, renders, strict=True))[1:-1]
    ]


def psnr(image: Image, reference: Image, exposure: float) -> float:
    """Peak signal-to-noise ratio in dB of the displayed images."""
    shown = [np.clip(picture * exposure, 0.0, 1.0) ** (1.0 / 2.2) for picture in (image, reference)]
    return float(-10.0 * np.log10(max(np.mean((shown[0] - shown[1]) ** 2), 1e-12)))


def seconds_at(rows: list[dict[str, float]], aim: float) -> float | None:
    """Seconds at which the curve reaches ``aim`` dB, between neighbours on a logarithmic scale."""
    ordered = sorted(rows, key=lambda row: row["seconds"])
    for low, high in itertools.pairwise(ordered):
        if low["psnr_db"] <= aim <= high["psnr_db"] and high["psnr_db"] > low["psnr_db"]:
            share = (aim - low["psnr_db"]) / (high["psnr_db"] - low["psnr_db"])
            logs = np.log([low["seconds"], high["seconds"]])
            return round(float(np.exp(logs[0] + share * (logs[1] - logs[0]))), 3)
    return None


if __name__ == "__main__":
    main()
