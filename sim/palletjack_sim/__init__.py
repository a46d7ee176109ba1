"""The embedded simulator of the closed loop: scenarios, physics, rendered camera, lock-step, verdicts."""

import ctypes.util
import os
import sys

# MuJoCo chooses its OpenGL when it is imported; EGL needs no screen. Whoever sets MUJOCO_GL is heard.
# Where there is no EGL the import would end in an error, and the path-traced camera needs no OpenGL at all.
if sys.platform.startswith("linux"):
    os.environ.setdefault("MUJOCO_GL", "egl" if ctypes.util.find_library("EGL") else "disable")
