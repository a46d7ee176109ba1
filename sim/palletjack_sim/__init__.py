"""The embedded simulator of the closed loop: scenarios, physics, rendered camera, lock-step, verdicts."""

import os
import sys

# MuJoCo chooses its OpenGL when it is imported; EGL needs no screen. Whoever sets MUJOCO_GL is heard.
if sys.platform.startswith("linux"):
    os.environ.setdefault("MUJOCO_GL", "egl")
