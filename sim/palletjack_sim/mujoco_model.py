"""The world as a MuJoCo model: every part as a visual mesh, every solid piece as a convex collision hull."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

import mujoco
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial.transform import Rotation

from palletjack_sdg.geometry import Material, Part
from palletjack_sdg.scene import Instance, Surface
from palletjack_sim.scenario import CameraSpec, Robot, Scenario, Window
from palletjack_sim.world import World

CAMERA = "camera"
CHASSIS = "chassis"
JOINTS = ("robot_x", "robot_y", "robot_yaw")
TIMESTEP = 0.005

VISUAL_GROUP, COLLISION_GROUP = 1, 3

# The chassis floats this high: planar joints carry it, so it must not scrape the floor.
GROUND_CLEARANCE = 0.05
# Pieces smaller than this (bolts, stickers) sit on bigger ones and need no hull of their own.
SMALLEST_PIECE = 0.03
# Thinner pieces have no volume that a hull could be made of; they become boxes.
THINNEST_HULL = 0.004
# Stiffness of the drive's velocity servo: it closes a speed error within about 1/50 s.
SERVO_RATE = 50.0


@dataclass(frozen=True)
class WorldModel:
    """``visual_ids`` and ``collision_ids`` map a geom id to the instance id that it belongs to."""

    model: mujoco.MjModel
    visual_ids: Mapping[int, int]
    collision_ids: Mapping[int, int]
    world: World

    def place_movers(self, data: mujoco.MjData, stamp: float) -> None:
        """Put the objects that move where they are at ``stamp`` (s)."""
        for instance_id, motion in self.world.motions.items():
            pose = motion.pose_at(stamp)
            slot = self._slots[instance_id]
            data.mocap_pos[slot] = pose[:3, 3]
            data.mocap_quat[slot] = _quaternion(pose[:3, :3].tobytes())

    @cached_property
    def _slots(self) -> dict[int, int]:
        """Where MuJoCo has the pose of each object that moves."""
        bodies = {key: self.model.body(f"object/{key}") for key in self.world.motions}
        return {key: int(body.mocapid[0]) for key, body in bodies.items()}


@lru_cache(maxsize=64)  # what moves keeps its heading for many steps
def _quaternion(rotation: bytes) -> tuple[float, ...]:
    matrix = np.frombuffer(rotation).reshape(3, 3)
    return tuple(Rotation.from_matrix(matrix).as_quat(scalar_first=True))


def build_model(scenario: Scenario, world: World) -> WorldModel:
    """Compile ``world`` and the scenario's robot into a MuJoCo model."""
    spec = mujoco.MjSpec()
    spec.option.timestep = TIMESTEP
    spec.option.gravity = [0.0, 0.0, 0.0]
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    _add_room(spec, world.surfaces)
    _add_lights(spec, scenario)
    _add_windows(spec, scenario.light.windows)
    for instance in world.instances:
        moves = instance.instance_id in world.motions
        _add_instance(spec, instance, scenario.robot.height + 0.1, moves=moves)
    _add_robot(spec, scenario.robot, scenario.camera)
    _set_view(spec, scenario)
    model = spec.compile()
    return WorldModel(model, _owners(model, "visual"), _owners(model, "hull"), world)


def _owners(model: mujoco.MjModel, kind: str) -> dict[int, int]:
    owners = {}
    for geom in range(model.ngeom):
        parts = model.geom(geom).name.split("/")
        if parts[0] == kind:
            owners[geom] = int(parts[1])
    return owners


def _set_view(spec: mujoco.MjSpec, scenario: Scenario) -> None:
    room, camera = scenario.room, scenario.camera
    extent = float(np.hypot(room.high[0] - room.low[0], room.high[1] - room.low[1]))
    spec.stat.extent = extent
    spec.stat.center = [0.5 * (room.low[0] + room.high[0]), 0.5 * (room.low[1] + room.high[1]), 1.0]
    # Clip planes are given in units of the extent: 5 cm to beyond the far corner.
    spec.visual.map.znear = 0.05 / extent
    spec.visual.map.zfar = 2.0
    spec.visual.global_.offwidth = camera.width
    spec.visual.global_.offheight = camera.height_px


def _add_lights(spec: mujoco.MjSpec, scenario: Scenario) -> None:
    """A flat stand-in for the fixtures: ambient light and one direction from above.

    It only follows the fixtures' brightness; the path traced camera shows the light as it is.
    """
    level = float(np.clip(np.mean(scenario.light.radiance) / 22.0, 0.05, 1.3))
    head = spec.visual.headlight
    head.ambient = [0.55 * level] * 3
    head.diffuse = [0.3 * level] * 3
    head.specular = [0.0] * 3
    light = spec.worldbody.add_light()
    light.type = mujoco.mjtLightType.mjLIGHT_DIRECTIONAL
    light.pos = [0.0, 0.0, scenario.room.height]
    light.dir = [0.25, 0.15, -1.0]
    light.diffuse = [0.6 * level] * 3
    light.ambient = [0.0] * 3
    light.castshadow = False


def _add_windows(spec: mujoco.MjSpec, windows: tuple[Window, ...]) -> None:
    """Bright panes: they dazzle the picture but do not light the flat stand-in's objects."""
    for index, window in enumerate(windows):
        name = f"window/{index}"
        material = spec.add_material(name=name)
        material.rgba = [1.0, 1.0, 1.0, 1.0]
        material.emission = 1.0
        half = [0.005, window.size[0] / 2.0, window.size[1] / 2.0]
        turn = Rotation.from_euler("z", window.facing_deg, degrees=True).as_quat(scalar_first=True)
        geom = spec.worldbody.add_geom(
            name=name, type=mujoco.mjtGeom.mjGEOM_BOX, pos=window.center, size=half, quat=turn
        )
        geom.material = name
        _make_visual(geom)


def _add_room(spec: mujoco.MjSpec, surfaces: tuple[Surface, ...]) -> None:
    for surface in surfaces:
        corners = surface.corners
        width = np.linalg.norm(corners[1] - corners[0])
        height = np.linalg.norm(corners[3] - corners[0])
        across, up = width / surface.tile_m[0], height / surface.tile_m[1]
        uvs = np.array([[0, up], [across, up], [across, 0], [0, 0]])
        # One quad would be lit at its corners only and be refused as a mesh without volume.
        faces = np.array([[0, 1, 2], [0, 2, 3]])
        name = f"room/{surface.name}"
        material = _add_texture(spec, name, surface.texture, surface.roughness)
        _add_mesh(spec, name, corners, faces, uvs)
        geom = spec.worldbody.add_geom(name=name, type=mujoco.mjtGeom.mjGEOM_MESH, meshname=name)
        geom.material = material
        _make_visual(geom)


def _add_instance(spec: mujoco.MjSpec, instance: Instance, reach: float, *, moves: bool) -> None:
    quaternion = Rotation.from_matrix(instance.pose[:3, :3]).as_quat(scalar_first=True)
    body = spec.worldbody.add_body(
        name=f"object/{instance.instance_id}", pos=instance.pose[:3, 3], quat=quaternion
    )
    # A mocap body goes where it is put and gives way to nothing.
    body.mocap = moves
    for index, part in enumerate(instance.prop.parts):
        if len(part.faces) == 0:
            continue
        name = f"visual/{instance.instance_id}/{index}"
        _add_mesh(spec, name, part.vertices, part.faces, part.uvs)
        geom = body.add_geom(name=name, type=mujoco.mjtGeom.mjGEOM_MESH, meshname=name)
        geom.material = _add_material(spec, name, part.material)
        _make_visual(geom)
    pieces = [
        piece
        for part in instance.prop.parts
        for piece in solid_pieces(part)
        if piece[:, 2].min() + instance.pose[2, 3] <= reach
    ]
    for index, piece in enumerate(pieces):
        _add_hull(spec, body, f"hull/{instance.instance_id}/{index}", piece)


def solid_pieces(part: Part) -> list[NDArray[np.float64]]:
    """Split a part into its connected pieces: vertices (V, 3) of each, small ones left out."""
    if len(part.faces) == 0:
        return []
    vertices, back = np.unique(np.round(part.vertices.astype(np.float64), 5), axis=0, return_inverse=True)
    faces = back.reshape(-1)[part.faces]
    rows = np.concatenate([faces[:, 0], faces[:, 1]])
    columns = np.concatenate([faces[:, 1], faces[:, 2]])
    graph = coo_matrix((np.ones(len(rows), dtype=np.int8), (rows, columns)), shape=(len(vertices),) * 2)
    _, labels = connected_components(graph, directed=False)
    used = np.unique(faces)
    pieces = []
    for label in np.unique(labels[used]):
        piece = vertices[used[labels[used] == label]]
        if np.linalg.norm(np.ptp(piece, axis=0)) >= SMALLEST_PIECE:
            pieces.append(piece)
    return pieces


def _add_hull(spec: mujoco.MjSpec, body: mujoco.MjsBody, name: str, piece: NDArray[np.float64]) -> None:
    centred = piece - piece.mean(axis=0)
    _, spread, axes = np.linalg.svd(centred, full_matrices=False)
    thinnest = np.ptp(centred @ axes.T, axis=0).min() if len(spread) == 3 else 0.0
    if thinnest < THINNEST_HULL:
        low, high = piece.min(axis=0), piece.max(axis=0)
        half = np.maximum(0.5 * (high - low), 0.5 * THINNEST_HULL)
        geom = body.add_geom(name=name, type=mujoco.mjtGeom.mjGEOM_BOX, pos=0.5 * (low + high), size=half)
    else:
        mesh = spec.add_mesh(name=name, uservert=piece.ravel(), maxhullvert=64)
        mesh.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_CONVEX
        geom = body.add_geom(name=name, type=mujoco.mjtGeom.mjGEOM_MESH, meshname=name)
    geom.group = COLLISION_GROUP
    geom.contype, geom.conaffinity = 1, 1
    geom.mass = 0.0


def _add_mesh(spec: mujoco.MjSpec, name: str, vertices: NDArray, faces: NDArray, uvs: NDArray | None) -> None:
    # MuJoCo joins normals over shared vertices; our flat parts carry separate ones, so theirs stay flat.
    mesh = spec.add_mesh(
        name=name, uservert=np.asarray(vertices, np.float64).ravel(), userface=np.asarray(faces).ravel()
    )
    if uvs is not None:
        mesh.usertexcoord = np.asarray(uvs, np.float64).ravel()
        mesh.userfacetexcoord = np.asarray(faces).ravel()
    mesh.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL


def _make_visual(geom: mujoco.MjsGeom) -> None:
    geom.group = VISUAL_GROUP
    geom.contype, geom.conaffinity = 0, 0
    geom.mass = 0.0


def _add_material(spec: mujoco.MjSpec, name: str, material: Material) -> str:
    if material.texture is not None:
        return _add_texture(spec, name, material.texture, material.roughness)
    entry = spec.add_material(name=name)
    entry.rgba = [*material.color, material.opacity]
    entry.specular = 0.3 * (1.0 - material.roughness)
    entry.shininess = 1.0 - material.roughness
    return name


def _add_texture(spec: mujoco.MjSpec, name: str, image: NDArray[np.uint8], roughness: float) -> str:
    height, width = image.shape[:2]
    texture = spec.add_texture(
        name=name, type=mujoco.mjtTexture.mjTEXTURE_2D, width=width, height=height, nchannel=3
    )
    texture.data = np.ascontiguousarray(image).tobytes()
    entry = spec.add_material(name=name)
    entry.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = name
    entry.specular = 0.3 * (1.0 - roughness)
    entry.shininess = 1.0 - roughness
    return name


def _add_robot(spec: mujoco.MjSpec, robot: Robot, camera: CameraSpec) -> None:
    body = spec.worldbody.add_body(name=CHASSIS)
    slide, hinge = mujoco.mjtJoint.mjJNT_SLIDE, mujoco.mjtJoint.mjJNT_HINGE
    body.add_joint(name=JOINTS[0], type=slide, axis=[1, 0, 0])
    body.add_joint(name=JOINTS[1], type=slide, axis=[0, 1, 0])
    body.add_joint(name=JOINTS[2], type=hinge, axis=[0, 0, 1])
    half_height = 0.5 * (robot.height - GROUND_CLEARANCE)
    geom = body.add_geom(
        name=CHASSIS,
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=[0.5 * robot.length, 0.5 * robot.width, half_height],
        pos=[0.0, 0.0, GROUND_CLEARANCE + half_height],
        mass=robot.mass,
    )
    geom.group = COLLISION_GROUP
    eye = body.add_camera(name=CAMERA, pos=[camera.forward, 0.0, camera.height])
    focal = 0.5 * camera.width / np.tan(np.radians(camera.hfov_deg) / 2.0)
    eye.fovy = float(np.degrees(2.0 * np.arctan(0.5 * camera.height_px / focal)))
    sin, cos = np.sin(np.radians(camera.pitch_down_deg)), np.cos(np.radians(camera.pitch_down_deg))
    # Columns: image right, image up, backwards (OpenGL convention), in the chassis' frame.
    axes = np.array([[0.0, sin, -cos], [-1.0, 0.0, 0.0], [0.0, cos, sin]])
    eye.quat = Rotation.from_matrix(axes).as_quat(scalar_first=True)
    inertia = robot.mass * (robot.length**2 + robot.width**2) / 12.0
    for joint, load in zip(JOINTS, (robot.mass, robot.mass, inertia), strict=True):
        actuator = spec.add_actuator(
            name=joint, trntype=mujoco.mjtTrn.mjTRN_JOINT, target=joint, forcelimited=True
        )
        actuator.set_to_velocity(kv=load * SERVO_RATE)
        actuator.forcerange = [-4.0 * load, 4.0 * load]
