"""The embedded path tracer against Blender Cycles: processor seconds a frame at equal noise, as a ratio.

    python3.11 -m venv out/cycles_venv && out/cycles_venv/bin/pip install bpy==4.5.0
    palletjack benchmark cycles -- --python out/cycles_venv/bin/python --out benchmarks/results/cycles.json

bpy is GPL, so it stays in an environment of its own, outside the product. One frame of the default recipe is
made the same for both: textures become their mean colours, see-through sheets are left out, the lens bends
nothing, both engines filter pixels with a box, denoise with Open Image Denoise (albedo and normals) and use
equal path lengths. Noise is the PSNR of the displayed image (exposed, gamma 2.2) against the engine's own
reference of another seed. Seconds are interpolated at the PSNR that the embedded engine reaches at --spp.
``mean_ratio`` tells whether the two pictures are equally bright. The engines render in turns and their
seconds are summed over processors, so that another job on the machine disturbs both alike, and little.
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
from typing import Any, NamedTuple

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


class Render(NamedTuple):
    """An image with the seconds that it took, on the clock and summed over processors."""

    image: Image
    seconds: float
    cpu_seconds: float


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
    ours, cycles, version = render_in_turns(scene, renders, options.python, not options.no_denoise)
    rows_ours, rows_cycles = curve(ours, renders), curve(cycles, renders)
    aim = next(row["psnr_db"] for row in rows_ours if row["spp"] == options.spp)
    own = next(row["cpu_seconds"] for row in rows_ours if row["spp"] == options.spp)
    other = seconds_at(rows_cycles, aim)
    result = {
        "what": "processor seconds a frame at equal PSNR, embedded path tracer and Cycles",
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": {"processor": platform.machine(), "cores": os.cpu_count(), "load": os.getloadavg()[0]},
        "frame": {"recipe": options.recipe, "seed": options.seed, "index": options.index},
        "size": [scene.camera.width, scene.camera.height],
        "reference_spp": options.reference,
        "denoised": not options.no_denoise,
        "blender": version,
        "mean_ratio": round(float(cycles[-1].image.mean() / ours[-1].image.mean()), 4),
        "embedded": rows_ours,
        "cycles": rows_cycles,
        "psnr_db": aim,
        "embedded_cpu_s": own,
        "cycles_cpu_s": other,
        "ratio": None if other is None else round(other / own, 3),
        "ratios": ratios(rows_ours, rows_cycles),
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


def render_in_turns(
    scene: Scene, renders: list[tuple[int, int]], python: Path, denoise: bool
) -> tuple[list[Render], list[Render], str]:
    """Return the renders of the embedded engine and of Cycles, made in turns, and Blender's version."""
    with tempfile.TemporaryDirectory() as name:
        job = write_job(scene, Path(name), denoise)
        script = Path(__file__).with_name("cycles_render.py")
        # Its interpreter has other packages than ours.
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        ours, cycles, version = [], [], ""
        # -P: or Blender would take this very file for its add-on "cycles".
        command = [str(python), "-P", str(script), str(job)]
        with subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as blender:
            assert blender.stdin is not None
            assert blender.stdout is not None
            for spp, seed in renders:
                ours.append(render_ours(scene, spp, seed, denoise))
                blender.stdin.write(f"{spp} {seed}\n")
                blender.stdin.flush()
                line = next((line for line in blender.stdout if line.startswith("RESULT ")), None)
                if line is None:
                    raise RuntimeError(
                        f"{script}: expected a result, found its end (status {blender.wait()})"
                    )
                answer = json.loads(line.removeprefix("RESULT "))
                image = np.load(answer["npy"])
                cycles.append(Render(image, float(answer["seconds"]), float(answer["cpu_seconds"])))
                version = str(answer["version"])
            blender.stdin.close()
    return ours, cycles, version


def render_ours(scene: Scene, spp: int, seed: int, denoise: bool) -> Render:
    """Return the second render of two, scene update included, ids and labels not."""
    renderer = create_renderer(RenderSettings(spp=spp, denoise=denoise, variant="cpu"))
    renderer.render(scene, seed)
    start, start_cpu = time.perf_counter(), time.process_time()
    result = renderer.render(scene, seed)
    return Render(result.linear, time.perf_counter() - start, time.process_time() - start_cpu)


def write_job(scene: Scene, folder: Path, denoise: bool) -> Path:
    """Write the scene and the settings for Cycles; return the job's file."""
    np.savez(folder / "scene.npz", **mesh_arrays(scene))
    camera = scene.camera
    job: dict[str, Any] = {
        "scene": str(folder / "scene.npz"),
        "out": str(folder),
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
    path = folder / "job.json"
    path.write_text(json.dumps(job))
    return path


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


def curve(done: list[Render], renders: list[tuple[int, int]]) -> list[dict[str, float]]:
    """PSNR against the last render and seconds of each step of the ladder."""
    reference = done[-1].image
    exposure = 0.5 / max(float(np.percentile(reference, 90)), 1e-6)
    return [
        {
            "spp": spp,
            "seconds": round(render.seconds, 3),
            "cpu_seconds": round(render.cpu_seconds, 3),
            "psnr_db": round(psnr(render.image, reference, exposure), 2),
        }
        for render, (spp, _) in list(zip(done, renders, strict=True))[1:-1]
    ]


def psnr(image: Image, reference: Image, exposure: float) -> float:
    """Peak signal-to-noise ratio in dB of the displayed images."""
    shown = [np.clip(picture * exposure, 0.0, 1.0) ** (1.0 / 2.2) for picture in (image, reference)]
    return float(-10.0 * np.log10(max(np.mean((shown[0] - shown[1]) ** 2), 1e-12)))


def ratios(ours: list[dict[str, float]], cycles: list[dict[str, float]]) -> list[dict[str, float]]:
    """The ratio at each of our steps whose PSNR lies on the curve of Cycles."""
    found = []
    for row in ours:
        other = seconds_at(cycles, row["psnr_db"])
        if other is not None:
            ratio = round(other / row["cpu_seconds"], 3)
            found.append({"spp": row["spp"], "psnr_db": row["psnr_db"], "ratio": ratio})
    return found


def seconds_at(rows: list[dict[str, float]], aim: float) -> float | None:
    """Processor seconds at which the curve reaches ``aim`` dB, between neighbours on a logarithmic scale."""
    ordered = sorted(rows, key=lambda row: row["cpu_seconds"])
    for low, high in itertools.pairwise(ordered):
        if low["psnr_db"] <= aim <= high["psnr_db"] and high["psnr_db"] > low["psnr_db"]:
            share = (aim - low["psnr_db"]) / (high["psnr_db"] - low["psnr_db"])
            logs = np.log([low["cpu_seconds"], high["cpu_seconds"]])
            return round(float(np.exp(logs[0] + share * (logs[1] - logs[0]))), 3)
    return None


if __name__ == "__main__":
    main()
