"""What to say where MuJoCo finds no off-screen OpenGL."""

from __future__ import annotations

import os


def no_opengl(error: Exception) -> RuntimeError:
    """The error to raise in the place of MuJoCo's, whose kind depends on what is missing."""
    chosen = os.environ.get("MUJOCO_GL", "(unset)")
    return RuntimeError(
        f"no off-screen OpenGL with MUJOCO_GL={chosen}: {error}; install Mesa's EGL (libegl1) or "
        "OSMesa (libosmesa6) and set MUJOCO_GL to egl or osmesa"
    )
