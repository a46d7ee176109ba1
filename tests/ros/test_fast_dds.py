"""The detector on Fast DDS with the shipped profile, which gives it shared memory for whole images."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.detector.tiny_model import write_tiny_model
from tests.ros.environment import REPOSITORY
from tests.ros.test_faults import Faulty, bring_up, wait_for_cameras

PROFILE = REPOSITORY / "ros2_ws/src/palletjack_detection/config/fastdds.xml"
SEGMENT = 32 * 1024 * 1024


def has_fast_dds(environment: dict[str, str]) -> bool:
    folders = environment.get("LD_LIBRARY_PATH", "").split(":")
    return any((Path(folder) / "librmw_fastrtps_cpp.so").exists() for folder in folders if folder)


def shared_memory(pid: int) -> dict[str, int]:
    """Name and size, bytes, of the mapped files in /dev/shm of a process."""
    names = {
        line.split()[5]
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines()
        if len(line.split()) > 5 and line.split()[5].startswith("/dev/shm/")
    }
    return {name: Path(name).stat().st_size for name in names if Path(name).exists()}


def test_the_profile_is_xml_that_replaces_the_built_in_transports() -> None:
    tree = ElementTree.parse(PROFILE).getroot()
    space = {"f": "http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles"}
    defined = {
        item.findtext("f:transport_id", namespaces=space): item.findtext("f:type", namespaces=space)
        for item in tree.iterfind(".//f:transport_descriptor", space)
    }
    used = [item.text for item in tree.iterfind(".//f:userTransports/f:transport_id", space)]
    assert {defined[name] for name in used} == {"SHM", "UDPv4"}
    assert tree.findtext(".//f:useBuiltinTransports", namespaces=space) == "false"
    assert tree.findtext(".//f:segment_size", namespaces=space) == str(SEGMENT)


def received(faulty: Faulty) -> int:
    """Images that the detector has received, as it tells on /diagnostics once a second."""
    return int(faulty.probe.status()["values"]["images_received"])


@pytest.mark.ros
@pytest.mark.long
def test_images_come_whole_through_fast_dds_with_the_shipped_profile(
    ros_environment: dict[str, str], tmp_path: Path
) -> None:
    if not has_fast_dds(ros_environment):
        pytest.skip("this ROS 2 has no rmw_fastrtps_cpp")
    environment = {
        **ros_environment,
        "RMW_IMPLEMENTATION": "rmw_fastrtps_cpp",
        "FASTRTPS_DEFAULT_PROFILES_FILE": str(PROFILE),
    }
    model = write_tiny_model(tmp_path / "model")
    with bring_up(environment, tmp_path, model, "respawn:=false") as faulty:
        sizes = shared_memory(faulty.pid())
        assert any(SEGMENT <= size < 1.2 * SEGMENT for size in sizes.values()), sizes
        wait_for_cameras(faulty, "camera")
        before = received(faulty)
        seen = faulty.probe.ask("flood", rate=5.0, seconds=2.0, width=1280, height=720, cameras=["camera"])
        # What was received, not what was answered: a busy machine may drop an image for a newer one.
        assert received(faulty) - before >= 8
        assert seen["answered"] >= 1
        assert seen["unknown"] == 0
        assert seen["largest_error"] < 2.0
