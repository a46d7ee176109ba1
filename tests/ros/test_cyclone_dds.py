"""The detector on Cyclone DDS with the shipped profile, whose sockets hold images of more than a megabyte."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.detector.tiny_model import write_tiny_model
from tests.ros.environment import REPOSITORY
from tests.ros.test_fast_dds import received
from tests.ros.test_faults import bring_up, wait_for_cameras

PROFILE = REPOSITORY / "ros2_ws/src/palletjack_detection/config/cyclonedds.xml"
ALLOWED = Path("/proc/sys/net/core/rmem_max")
IMAGE_BYTES = 1280 * 720 * 3


def test_the_profile_is_xml_with_packets_that_udp_can_carry() -> None:
    space = {"c": "https://cdds.io/config"}
    domain = ElementTree.parse(PROFILE).getroot().find("c:Domain", space)
    assert domain is not None
    largest = domain.findtext("c:General/c:MaxMessageSize", namespaces=space)
    fragment = domain.findtext("c:General/c:FragmentSize", namespaces=space)
    assert largest is not None
    assert fragment is not None
    assert int(fragment.rstrip("B")) < int(largest.rstrip("B")) <= 65507


@pytest.mark.ros
@pytest.mark.long
@pytest.mark.skipif(
    not ALLOWED.exists() or int(ALLOWED.read_text()) < IMAGE_BYTES,
    reason="net.core.rmem_max is too small",
)
def test_large_best_effort_images_come_whole_with_the_shipped_profile(
    ros_environment: dict[str, str], tmp_path: Path
) -> None:
    environment = {
        **ros_environment,
        "RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp",
        "CYCLONEDDS_URI": f"file://{PROFILE}",
    }
    model = write_tiny_model(tmp_path / "model")
    words = ("respawn:=false", "reliability:=best_effort")
    with bring_up(environment, tmp_path, model, *words) as faulty:
        wait_for_cameras(faulty, "camera")
        before = received(faulty)
        seen = faulty.probe.ask("flood", rate=5.0, seconds=3.0, width=1280, height=720, cameras=["camera"])
        # Of 15. Without the profile it was 1 on one distribution, 3 on the other.
        assert received(faulty) - before >= 11
        assert seen["answered"] >= 1
        assert seen["unknown"] == 0
        assert seen["largest_error"] < 2.0
