"""The graph as a fragment for isaac_ros_examples: its own container, camera and interface specs.

Name it in a launcher's LAUNCH_FRAGMENT_SPECS as package palletjack_detection, class
IsaacROSPalletjackLaunchFragment. Interface specs that it reads: camera_resolution (width, height).
"""

from __future__ import annotations

from palletjack_detection.bringup.isaac_ros_fragment import IsaacROSPalletjackLaunchFragment

__all__ = ["IsaacROSPalletjackLaunchFragment"]
