"""Render an exported scene with Blender Cycles. Run by cycles.py, in the environment that holds bpy.

bpy is GPL: this runs in a process of its own, shares only files with the project, and nothing imports it.
"""

import json
import math
import sys
import time
from pathlib import Path

import bpy
import numpy as np


def main() -> None:
    """Read the job (scene file, size, threads), then render what each line of standard input asks for.

    A line holds samples and seed. The answer is a line of JSON after RESULT: the image's file, seconds, and
    seconds of all processors.
    """
    job = json.loads(Path(sys.argv[1]).read_text())
    data = np.load(job["scene"])
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    set_up(scene, job, data)
    for number, line in enumerate(sys.stdin):
        scene.cycles.samples, scene.cycles.seed = (int(word) for word in line.split())
        path = Path(job["out"]) / f"cycles_{number}.exr"
        scene.render.filepath = str(path)
        start, start_cpu = time.perf_counter(), time.process_time()
        bpy.ops.render.render(write_still=True)
        answer = {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - start_cpu}
        image = bpy.data.images.load(str(path))
        width, height = image.size
        pixels = np.array(image.pixels[:], dtype=np.float32).reshape(height, width, image.channels)
        np.save(path.with_suffix(".npy"), pixels[::-1, :, :3])
        bpy.data.images.remove(image)
        answer.update(npy=str(path.with_suffix(".npy")), version=bpy.app.version_string)
        print("RESULT " + json.dumps(answer), flush=True)


def set_up(scene, job, data) -> None:
    """Make camera, lights, meshes and settings like those of the other engine."""
    scene.render.engine = "CYCLES"
    cycles = scene.cycles
    cycles.device = "CPU"
    cycles.use_adaptive_sampling = False
    cycles.use_denoising = bool(job["denoise"])
    cycles.denoiser = "OPENIMAGEDENOISE"
    cycles.denoising_input_passes = "RGB_ALBEDO_NORMAL"
    cycles.max_bounces = job["max_depth"] - 1
    cycles.diffuse_bounces = cycles.glossy_bounces = job["max_depth"] - 1
    cycles.caustics_reflective = True
    cycles.sample_clamp_indirect = cycles.sample_clamp_direct = 0.0
    cycles.blur_glossy = 0.0
    cycles.pixel_filter_type = "BOX"
    scene.render.use_persistent_data = True
    scene.render.threads_mode, scene.render.threads = "FIXED", job["threads"]
    scene.render.resolution_x, scene.render.resolution_y = job["width"], job["height"]
    scene.render.resolution_percentage = 100
    settings = scene.render.image_settings
    settings.file_format, settings.color_depth = "OPEN_EXR", "32"
    camera = bpy.data.cameras.new("camera")
    camera.sensor_fit = "HORIZONTAL"
    camera.angle = math.radians(job["hfov_deg"])
    camera.clip_start, camera.clip_end = 0.01, 500.0
    placed = bpy.data.objects.new("camera", camera)
    pose = np.array(job["camera"]) @ np.diag([1.0, -1.0, -1.0, 1.0])
    placed.matrix_world = [tuple(column) for column in pose.T]
    scene.collection.objects.link(placed)
    scene.camera = placed
    world = bpy.data.worlds.new("world")
    world.use_nodes = True
    world.node_tree.nodes["Background"].inputs[0].default_value = (*job["ambient"], 1.0)
    scene.world = world
    add_mesh(scene, data)
    for number, light in enumerate(job["lights"]):
        add_light(scene, number, light)


def add_mesh(scene, data) -> None:
    """One mesh; colour, roughness and metalness are attributes of its faces."""
    mesh = bpy.data.meshes.new("scene")
    faces = data["faces"]
    mesh.from_pydata(data["vertices"].tolist(), [], faces.tolist())
    for name, kind, key in (
        ("face_color", "FLOAT_COLOR", "color"),
        ("face_roughness", "FLOAT", "value"),
        ("face_metallic", "FLOAT", "value"),
    ):
        attribute = mesh.attributes.new(name, kind, "FACE")
        values = data[name]
        if kind == "FLOAT_COLOR":
            values = np.concatenate([values, np.ones((len(values), 1))], axis=1)
        attribute.data.foreach_set(key, values.astype(np.float32).ravel())
    material = bpy.data.materials.new("all")
    material.use_nodes = True
    tree = material.node_tree
    shader = tree.nodes["Principled BSDF"]
    for name, socket, output in (
        ("face_color", "Base Color", "Color"),
        ("face_roughness", "Roughness", "Fac"),
        ("face_metallic", "Metallic", "Fac"),
    ):
        node = tree.nodes.new("ShaderNodeAttribute")
        node.attribute_name = name
        tree.links.new(node.outputs[output], shader.inputs[socket])
    mesh.materials.append(material)
    mesh.update()
    scene.collection.objects.link(bpy.data.objects.new("scene", mesh))


def add_light(scene, number, light) -> None:
    """An area light that shines along u x v; a lamp of Blender shines along its own -z."""
    u, v = np.array(light["u"]), np.array(light["v"])
    width, height = 2 * np.linalg.norm(u), 2 * np.linalg.norm(v)
    lamp = bpy.data.lights.new(f"light{number}", "AREA")
    lamp.shape, lamp.size, lamp.size_y = "RECTANGLE", width, height
    radiance = np.array(light["radiance"])
    peak = float(radiance.max())
    lamp.color = tuple(radiance / peak)
    lamp.energy = peak * math.pi * width * height
    x, y = u / np.linalg.norm(u), -v / np.linalg.norm(v)
    pose = np.eye(4)
    pose[:3, 0], pose[:3, 1], pose[:3, 2] = x, y, np.cross(x, y)
    pose[:3, 3] = light["center"]
    placed = bpy.data.objects.new(lamp.name, lamp)
    placed.matrix_world = [tuple(column) for column in pose.T]
    scene.collection.objects.link(placed)


if __name__ == "__main__":
    main()
