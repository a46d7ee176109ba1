"""The systemd unit of the robot: systemd's own check, and what it would start, started."""

from __future__ import annotations

import configparser
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.detector.tiny_model import write_tiny_model
from tests.ros.environment import REPOSITORY, isolated, own_domain

DEPLOY = REPOSITORY / "deploy"
UNIT = DEPLOY / "palletjack.service"
INSTALLED = "/opt/palletjack/repository"


def service() -> configparser.SectionProxy:
    """Return the [Service] section; keys that may repeat keep their last value."""
    parser = configparser.ConfigParser(strict=False, interpolation=None, comment_prefixes=("#",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT)
    return parser["Service"]


def environment_file(path: Path) -> dict[str, str]:
    """Return the variables of an environment file in systemd's format."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def command(variables: dict[str, str]) -> list[str]:
    """Return ExecStart as systemd splits it, with this checkout in the place of the installed one."""
    words: list[str] = []
    for word in shlex.split(service()["ExecStart"].replace(INSTALLED, str(REPOSITORY))):
        words += shlex.split(variables[word[1:]]) if word.startswith("$") else [word]
    return words


def test_systemd_finds_nothing_wrong(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if not analyze:
        pytest.skip("systemd-analyze is not on this machine")
    text = UNIT.read_text().replace(INSTALLED, str(REPOSITORY))
    for name, content, clean in [
        ("palletjack.service", text, True),
        ("wrong.service", text.replace("Restart=always", "Restart=perhaps"), False),
        ("unknown.service", text.replace("KillMode", "KillMood"), False),
    ]:
        path = tmp_path / name
        path.write_text(content)
        done = subprocess.run([analyze, "verify", str(path)], capture_output=True, text=True, timeout=60)
        ours = [line for line in (done.stdout + done.stderr).splitlines() if name in line]
        assert (done.returncode == 0 and not ours) == clean, done.stdout + done.stderr


def test_the_unit_confines_the_service_and_brings_it_back() -> None:
    settings = service()
    assert settings["User"] not in ("", "root", "0")
    assert settings["Restart"] == "always"
    assert settings["StandardOutput"] == settings["StandardError"] == "journal"
    assert "WatchdogSec" not in settings  # ros2 launch does not notify
    assert "StartLimitIntervalSec=0" in UNIT.read_text()
    assert "network-online.target" in UNIT.read_text()
    # A path that DDS shares with other processes.
    for private in ("PrivateNetwork", "PrivateIPC", "PrivateDevices"):
        assert private not in settings


def test_the_environment_file_holds_what_the_unit_asks_for() -> None:
    variables = environment_file(DEPLOY / "palletjack.env")
    assert {"PALLETJACK_SETUP", "LAUNCH_ARGUMENTS", "ROS_DOMAIN_ID"} <= set(variables)
    assert variables["PALLETJACK_SETUP"].startswith(INSTALLED)
    assert service()["EnvironmentFile"] == "/etc/palletjack/palletjack.env"
    assert command(variables)[-2:] == ["camera:=topic", "image_topic:=/camera/image_raw"]


@pytest.mark.ros
def test_what_the_unit_starts_runs_and_ends_in_order(
    main_ros_environment: dict[str, str], tmp_path: Path
) -> None:
    """The command line of the unit with the environment that systemd would give, ended by its KillSignal."""
    variables = environment_file(DEPLOY / "palletjack.env")
    variables["PALLETJACK_SETUP"] = str(REPOSITORY / "ros2_ws/install/setup.bash")
    variables["LAUNCH_ARGUMENTS"] += f" model:={write_tiny_model(tmp_path / 'tiny')}"
    state = {"HOME": str(tmp_path), "ROS_LOG_DIR": str(tmp_path / "log"), "PATH": "/usr/bin:/bin"}
    log = tmp_path / "journal"
    with own_domain() as domain, log.open("wb") as journal:
        process = subprocess.Popen(
            command(variables),
            env=isolated({**variables, **state}, domain),
            stdout=journal,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            deadline = time.monotonic() + 60
            while "process started" not in log.read_text():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
            time.sleep(1.0)
            process.send_signal(signal.Signals[service()["KillSignal"]])
            assert process.wait(int(service()["TimeoutStopSec"])) == 0, log.read_text()
        finally:
            process.kill()
            process.wait(10)
    assert "palletjack_detector" in log.read_text()
