"""The embedded path tracer: Mitsuba 3 on the CPU (LLVM) or on an NVIDIA GPU (CUDA and OptiX).

Every scene fills the same slots of one Mitsuba scene: three merged meshes, a pool of room
surfaces, a pool of lights and a constant sky. Frames after the first therefore compile nothing.
"""

from __future__ import annotations

import importlib
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palletjack_sdg.environment import Environment, Sun
from palletjack_sdg.projection import NEWTON_STEPS, check_distortion
from palletjack_sdg.render import denoise as oidn
from palletjack_sdg.render.base import RenderError, RenderResult, RenderSettings
from palletjack_sdg.render.lights import fill_pool
from palletjack_sdg.render.merge import MergedMesh, MergedScene, merge
from palletjack_sdg.render.mitsuba_scene import MESHES, SlotScene
from palletjack_sdg.render.sunlight import Sunlight
from palletjack_sdg.scene import Camera, Scene

VARIANTS = {"cpu": "llvm_ad_rgb", "cuda": "cuda_ad_rgb"}
LLVM_ADVICE = (
    "the CPU renderer needs libLLVM 19 or newer, which no Python package carries: "
    "install it with 'apt install libllvm19', or point DRJIT_LIBLLVM_PATH at libLLVM.so"
)
LOOK_THROUGH_OPACITY = 0.5
SHEETS_LOOKED_THROUGH = 4
MAX_SPP_PER_PASS = {"cpu": 8, "cuda": 16}


# More panes than this in one frame: the rest stay plain.
OPENINGS = 6
Outside = Callable[[Any, Any], Any]


class MitsubaRenderer:
    """Path traces scenes with global illumination. One per process; see ``RenderSettings``.

    Raises:
        RenderError: Mitsuba, libLLVM, the CUDA device or the denoiser is missing.
    """

    def __init__(self, settings: RenderSettings) -> None:
        self.settings = settings
        self._mi, self._dr, self.backend = _load_mitsuba(settings)
        if settings.denoise and not oidn.is_available():
            raise RenderError(
                "denoising needs the package mitsuba-oidn, which is not installed: install it, or render "
                "without denoising at 64 or more samples per pixel"
            )
        if settings.threads:
            self._dr.set_thread_count(settings.threads)
        passes = -(-settings.spp // MAX_SPP_PER_PASS[self.backend])
        self._passes, self._spp = passes, -(-settings.spp // passes)
        self._integrator = self._mi.load_dict(
            {"type": "path", "max_depth": settings.max_depth, "rr_depth": settings.rr_depth}
        )
        self._sampler = self._mi.load_dict({"type": "multijitter", "sample_count": self._spp})
        self._spp = int(self._sampler.sample_count())
        self._slots: SlotScene | None = None
        self._openings: list[str] = []
        self._denoise_on_device = self.backend == "cuda"

    @property
    def description(self) -> dict[str, object]:
        """Engine, versions, backend and settings."""
        return {
            "engine": "mitsuba",
            "version": self._mi.__version__,
            "drjit": self._dr.__version__,
            "backend": self.backend,
            "settings": asdict(self.settings),
        }

    def render(self, scene: Scene, seed: int = 0) -> RenderResult:
        """Render one frame; equal scenes and seeds give equal frames on the same machine.

        Raises:
            DistortionError: the camera's distortion folds back inside the image.
            ValueError: the scene is malformed; the message names the instance or surface.
        """
        camera = scene.camera
        check_distortion(camera)
        clock = _Clock()
        merged = merge(scene.instances, camera, self.settings.atlas_px)
        clock.lap("merge")
        self._update(scene, merged)
        # What the device still has to build belongs to this stage, not to the paths that wait for it.
        self._dr.sync_thread()
        clock.lap("scene")
        outside = None if scene.environment is None else self._outside(scene.environment)
        sunlight = None if scene.sun is None else self._sunlight(scene.sun)
        color, albedo, normal = self._trace(camera, seed, outside, sunlight)
        if not self.settings.denoise:
            linear = self._to_image(color, camera)
            clock.lap("trace")
        else:
            self._dr.eval(color, albedo, normal)
            self._dr.sync_thread()
            clock.lap("trace")
            linear = self._denoise(color, albedo, normal, camera)
            clock.lap("denoise")
        ids, depth, normals = self._cast_centres(camera, merged)
        clock.lap("ids")
        return RenderResult(linear=linear, instance_ids=ids, depth=depth, seconds=clock.laps, normals=normals)

    def _update(self, scene: Scene, merged: MergedScene) -> None:
        if self._slots is None or len(scene.surfaces) > self._slots.surface_slots:
            self._slots = SlotScene(self._mi, self.settings.atlas_px, len(scene.surfaces))
        lights = fill_pool(scene.lights, scene.camera, self._slots.light_slots)
        self._openings = [f"light{slot}" for slot, light in enumerate(lights) if light.opening]
        self._slots.update(merged, scene.surfaces, lights, scene.ambient)

    def _trace(
        self, camera: Camera, seed: int, outside: Outside | None, sunlight: Sunlight | None
    ) -> tuple[Any, Any, Any]:
        """Return colour, albedo and normal as flat arrays (H * W * 3) on the device."""
        mi, dr = self._mi, self._dr
        lanes = camera.width * camera.height * self._spp
        sums: list[Any] = []
        for number in range(self._passes):
            self._sampler.set_samples_per_wavefront(self._spp)
            self._sampler.seed((seed * 1009 + number) & 0xFFFFFFFF, lanes)
            pixel = dr.arange(mi.UInt32, lanes) // dr.opaque(mi.UInt32, self._spp)
            ray = self._rays(camera, pixel, self._sampler.next_2d())
            color = self._integrator.sample(self._scene, self._sampler, ray)[0]
            if sunlight is not None:
                color += sunlight.along(ray, self._sampler)
            values = [*(color if outside is None else outside(ray, color))]
            if self.settings.denoise:
                values += self._features(ray, self._sampler.next_1d())
            # A path that ends on a degenerate triangle must not blacken its neighbourhood.
            values = [dr.select(dr.isfinite(value), value, 0.0) for value in values]
            dr.eval(values)
            parts = [dr.block_sum(value, self._spp) / (self._spp * self._passes) for value in values]
            sums = [total + part for total, part in zip(sums, parts, strict=True)] if sums else parts
            dr.eval(sums)
        flat = [dr.ravel(mi.Vector3f(*sums[start : start + 3])) for start in range(0, len(sums), 3)]
        return (flat[0], flat[1], flat[2]) if len(flat) == 3 else (flat[0], None, None)

    def _outside(self, environment: Environment) -> Outside:
        """Return what puts the environment where a ray of the camera meets an opening before all else."""
        mi, dr = self._mi, self._dr
        slots = self._slots
        assert slots is not None
        image = np.ascontiguousarray(environment.image, np.float32)
        height, width = (dr.opaque(mi.UInt32, size) for size in image.shape[:2])
        texels = slots.floats(image)
        rotation = dr.opaque(mi.Float, environment.rotation)
        panes, used = self._panes()

        def texel(column: Any, row: Any) -> Any:
            column = dr.select(column >= width, column - width, column)
            return dr.gather(mi.Color3f, texels, dr.minimum(row, height - 1) * width + column)

        def put(ray: Any, color: Any) -> Any:
            met = self._scene.ray_intersect_preliminary(ray)
            seen = mi.Bool(False)
            for pane, there in zip(panes, used, strict=True):
                seen |= there & (met.shape == pane)
            seen &= met.is_valid()
            turn = (dr.atan2(ray.d.y, ray.d.x) - rotation) * (0.5 / dr.pi)
            across = 0.5 - turn
            across = (across - dr.floor(across)) * mi.Float(width)
            down = dr.acos(dr.clip(ray.d.z, -1.0, 1.0)) / dr.pi * mi.Float(height)
            # Between the four nearest pixels.
            left, top = across - 0.5, dr.maximum(down - 0.5, 0.0)
            left = dr.select(left < 0.0, left + mi.Float(width), left)
            column, row = mi.UInt32(left), mi.UInt32(top)
            right, low = left - mi.Float(column), top - mi.Float(row)
            upper = dr.lerp(texel(column, row), texel(column + 1, row), right)
            lower = dr.lerp(texel(column, row + 1), texel(column + 1, row + 1), right)
            return dr.select(seen, dr.lerp(upper, lower, low), color)

        return put

    def _panes(self) -> tuple[list[Any], list[Any]]:
        """The shapes of the openings, filled up to a fixed number, and which of them are there."""
        mi, dr, slots = self._mi, self._dr, self._slots
        assert slots is not None
        panes = [slots.pointer(name) for name in self._openings[:OPENINGS]]
        panes += [slots.pointer(MESHES[0])] * (OPENINGS - len(panes))
        return panes, [dr.opaque(mi.Bool, number < len(self._openings)) for number in range(OPENINGS)]

    def _sunlight(self, sun: Sun) -> Sunlight:
        slots = self._slots
        assert slots is not None
        panes, used = self._panes()
        return Sunlight(
            self._mi, self._dr, self._scene, sun, panes, used, slots.pointer("sheer"), slots.opacity
        )

    def _features(self, ray: Any, sample: Any) -> list[Any]:
        """Albedo and normal of the first surface, met sheets being looked through by their opacity."""
        mi, dr = self._mi, self._dr
        slots = self._slots
        assert slots is not None
        hit = self._scene.ray_intersect(ray)
        sheet = hit.is_valid() & (hit.shape == slots.pointer("sheer"))
        opacity = dr.gather(mi.Float, slots.opacity, hit.prim_index, sheet)
        through = sheet & (sample > opacity)
        behind = self._scene.ray_intersect(hit.spawn_ray(ray.d), through)
        hit = dr.select(through, behind, hit)
        valid = hit.is_valid()
        albedo = hit.bsdf().eval_diffuse_reflectance(hit, valid)
        normal = dr.select(valid, dr.normalize(dr.select(valid, hit.sh_frame.n, 1.0)), 0.0)
        return [*dr.select(valid, dr.clip(albedo, 0.0, 1.0), 0.0), *normal]

    def _rays(self, camera: Camera, pixel: Any, offset: Any) -> Any:
        """World rays through ``offset`` in 0..1 of each pixel, undistorted by Newton's method."""
        mi, dr = self._mi, self._dr
        # All numbers of the camera are opaque, or each frame would compile a kernel of its own.
        width = dr.opaque(mi.UInt32, camera.width)
        row = pixel // width
        column = pixel - row * width
        inverse_focal = dr.opaque(mi.Float, 1.0 / camera.focal_px)
        center_x = dr.opaque(mi.Float, camera.width / 2.0)
        center_y = dr.opaque(mi.Float, camera.height / 2.0)
        target_x = (mi.Float(column) + offset.x - center_x) * inverse_focal
        target_y = (mi.Float(row) + offset.y - center_y) * inverse_focal
        x, y = _undistort(dr, mi, target_x, target_y, camera.distortion)
        axes = [[dr.opaque(mi.Float, float(value)) for value in camera.pose[row_, :4]] for row_ in range(3)]
        direction = mi.Vector3f(*[axis[0] * x + axis[1] * y + axis[2] for axis in axes])
        origin = mi.Point3f(*[axis[3] for axis in axes])
        return mi.Ray3f(origin, dr.normalize(direction))

    def _cast_centres(
        self, camera: Camera, merged: MergedScene
    ) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float32] | None]:
        """Instance ids, depth and, where asked for, normals through pixel centres.

        Ids come from the index of the face within the merged mesh that was met: the index of the
        shape, as an integrator reports it, need not follow the order of the scene's shapes.
        """
        mi, dr = self._mi, self._dr
        slots = self._slots
        assert slots is not None
        lanes = camera.width * camera.height
        ray = self._rays(camera, dr.arange(mi.UInt32, lanes), mi.Point2f(0.5, 0.5))
        tables = {name: slots.indices(getattr(merged, name).instance_ids) for name in MESHES}
        travelled = mi.Float(0.0)
        # A copy: ray.o refers to the ray's own field, which moves on below.
        origin = mi.Point3f(ray.o)
        met = self._scene.ray_intersect_preliminary(ray, coherent=True)
        for _ in range(SHEETS_LOOKED_THROUGH):
            sheet = met.is_valid() & (met.shape == slots.pointer("sheer"))
            opacity = dr.gather(mi.Float, slots.opacity, met.prim_index, sheet)
            through = sheet & (opacity < LOOK_THROUGH_OPACITY)
            travelled = dr.select(through, travelled + met.t + 1e-3, travelled)
            ray.o = origin + ray.d * travelled
            behind = self._scene.ray_intersect_preliminary(ray, coherent=False, active=through)
            met = dr.select(through, behind, met)
        ids = mi.UInt32(0)
        for name, table in tables.items():
            on_mesh = met.is_valid() & (met.shape == slots.pointer(name))
            ids = dr.select(on_mesh, dr.gather(mi.UInt32, table, met.prim_index, on_mesh), ids)
        forward = mi.Vector3f(*[dr.opaque(mi.Float, float(value)) for value in camera.pose[:3, 2]])
        depth = dr.select(met.is_valid(), (travelled + met.t) * dr.dot(ray.d, forward), dr.inf)
        dr.eval(ids, depth)
        shape = (camera.height, camera.width)
        return (
            np.asarray(ids.numpy(), dtype=np.int32).reshape(shape),
            np.asarray(depth.numpy(), dtype=np.float32).reshape(shape),
            self._normals(camera, met, ray) if self.settings.normals else None,
        )

    def _normals(self, camera: Camera, met: Any, ray: Any) -> NDArray[np.float32]:
        """Normals (H, W, 3) of the faces met, in the camera's frame and turned to it."""
        mi, dr = self._mi, self._dr
        valid = met.is_valid()
        normal = met.compute_surface_interaction(ray, mi.RayFlags.All, valid).n
        normal = dr.select(dr.dot(normal, ray.d) > 0.0, -normal, normal)
        normal = dr.select(valid, normal, mi.Vector3f(0.0))
        world = np.asarray(mi.TensorXf(dr.ravel(mi.Vector3f(normal))).numpy(), dtype=np.float64)
        turned = world.reshape(camera.height, camera.width, 3) @ camera.pose[:3, :3]
        return np.asarray(np.clip(turned, -1.0, 1.0), dtype=np.float32)

    def _denoise(self, color: Any, albedo: Any, normal: Any, camera: Camera) -> NDArray[np.float32]:
        if self._denoise_on_device:
            shape = (camera.height, camera.width, 3)
            try:
                images = [self._mi.TensorXf(flat, shape) for flat in (color, albedo, normal)]
                return np.asarray(oidn.denoise_on_device(*images).numpy(), dtype=np.float32)
            except Exception as error:
                # The package may have come without its CUDA part: the CPU then does it.
                warnings.warn(f"denoising on the CPU, the GPU refused: {error}", stacklevel=2)
                self._denoise_on_device = False
        return oidn.denoise(*(self._to_image(flat, camera) for flat in (color, albedo, normal)))

    def _to_image(self, flat: Any, camera: Camera) -> NDArray[np.float32]:
        return np.asarray(flat.numpy(), dtype=np.float32).reshape(camera.height, camera.width, 3)

    @property
    def _scene(self) -> Any:
        assert self._slots is not None
        return self._slots.scene


class _Clock:
    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name] = now - self._last
        self._last = now


def _undistort(
    dr: Any, mi: Any, target_x: Any, target_y: Any, distortion: tuple[float, float, float, float, float]
) -> tuple[Any, Any]:
    """The same iteration as ``projection.undistort``, recorded for the device."""
    k1, k2, p1, p2, k3 = (dr.opaque(mi.Float, float(value)) for value in distortion)
    x, y = target_x, target_y
    for _ in range(NEWTON_STEPS):
        r2 = x * x + y * y
        radial = 1.0 + r2 * (k1 + r2 * (k2 + r2 * k3))
        slope = 2.0 * (k1 + r2 * (2.0 * k2 + 3.0 * k3 * r2))
        error_x = target_x - (x * radial + 2.0 * p1 * x * y + p2 * (r2 + 2.0 * x * x))
        error_y = target_y - (y * radial + p1 * (r2 + 2.0 * y * y) + 2.0 * p2 * x * y)
        xx = radial + x * x * slope + 2.0 * p1 * y + 6.0 * p2 * x
        xy = x * y * slope + 2.0 * p1 * x + 2.0 * p2 * y
        yy = radial + y * y * slope + 6.0 * p1 * y + 2.0 * p2 * x
        inverse = 1.0 / (xx * yy - xy * xy)
        x, y = (
            x + (yy * error_x - xy * error_y) * inverse,
            y + (xx * error_y - xy * error_x) * inverse,
        )
    return x, y


def _load_mitsuba(settings: RenderSettings) -> tuple[Any, Any, str]:
    """Import Mitsuba in the wanted variant; return it, Dr.Jit and "cpu" or "cuda"."""
    try:
        dr = importlib.import_module("drjit")
        mi = importlib.import_module("mitsuba")
    except ImportError as error:
        raise RenderError(
            f"the embedded renderer needs the package mitsuba ({error}): install 'palletjack[render]'"
        ) from error
    available = set(mi.variants())
    wanted = [settings.variant] if settings.variant != "auto" else ["cuda", "cpu"]
    reasons = []
    for backend in wanted:
        if VARIANTS[backend] not in available:
            reasons.append(f"this build of Mitsuba has no variant {VARIANTS[backend]}")
        elif backend == "cuda" and not dr.has_backend(dr.JitBackend.CUDA):
            reasons.append("no CUDA device answers")
        elif backend == "cpu" and not dr.has_backend(dr.JitBackend.LLVM):
            reasons.append(LLVM_ADVICE)
        else:
            try:
                mi.set_variant(VARIANTS[backend])
            except ImportError as error:
                reasons.append(f"the variant {VARIANTS[backend]} does not load: {error}")
            else:
                return mi, dr, backend
    raise RenderError(f"cannot render (variant {settings.variant}): " + "; ".join(reasons))


__all__ = ["LLVM_ADVICE", "MergedMesh", "MitsubaRenderer"]
