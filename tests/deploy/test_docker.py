"""The Dockerfiles, the install scripts and the compose file, without a container engine."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import compose_spec
import pytest
import yaml

from tests.deploy.dockerfiles import (
    DOCKER,
    DOCKERFILES,
    LAYER,
    REPOSITORY,
    context_of,
    instructions,
    words_of,
)

INSTALL = DOCKER / "install"
SCRIPTS = sorted([*DOCKER.rglob("*.sh"), *REPOSITORY.glob("bootstrap/*.sh")])
NAMES = [path.name for path in DOCKERFILES]
SECRET = re.compile(r"(?i)(password|passwd|secret|token|api_?key)\s*[=:]")


def tool(name: str) -> str:
    """Return the path of a linter of the test extra; skips where the machine has no build of it."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if not found:
        pytest.skip(f"{name} is not installed (no build of it for this machine)")
    return found


@pytest.mark.parametrize("path", DOCKERFILES, ids=NAMES)
def test_hadolint_finds_nothing(path: Path) -> None:
    command = [tool("hadolint"), "--no-color", "--config", str(DOCKER / ".hadolint.yaml"), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout


def test_hadolint_would_find_something(tmp_path: Path) -> None:
    bad = tmp_path / "Dockerfile"
    bad.write_text("FROM debian:latest\nRUN cd /tmp && apt-get install curl\n")
    command = [tool("hadolint"), "--config", str(DOCKER / ".hadolint.yaml"), str(bad)]
    assert "DL3007" in subprocess.run(command, capture_output=True, text=True, timeout=60).stdout


@pytest.mark.parametrize("path", SCRIPTS, ids=[path.name for path in SCRIPTS])
def test_scripts_are_clean_and_executable(path: Path) -> None:
    shellcheck = subprocess.run([tool("shellcheck"), str(path)], capture_output=True, text=True, timeout=60)
    assert shellcheck.returncode == 0, shellcheck.stdout
    if INSTALL in path.parents:
        assert path.stat().st_mode & 0o111, "not executable"


@pytest.mark.parametrize("path", DOCKERFILES, ids=NAMES)
def test_what_is_copied_exists_and_is_not_ignored(path: Path) -> None:
    ignored = [line.rstrip("/") for line in (REPOSITORY / ".dockerignore").read_text().splitlines()]
    copies = [i.copy() for i in instructions(path) if i.name == "COPY"]
    assert copies
    for source in (source for copy in copies for source in copy.sources):
        assert (context_of(path) / source).exists(), source
        assert source not in ignored
        assert source.split("/")[0] not in ignored


@pytest.mark.parametrize("path", DOCKERFILES, ids=NAMES)
def test_scripts_that_are_run_are_there(path: Path) -> None:
    steps = instructions(path)
    run = " ".join(i.value for i in steps if i.name == "RUN")
    names = re.findall(r"/opt/palletjack/install/([\w-]+\.sh)", run)
    assert names or path.name == "Dockerfile.isaac_sim"
    for name in names:
        assert (INSTALL / name).is_file()


@pytest.mark.parametrize("path", DOCKERFILES, ids=NAMES)
def test_images_run_as_a_user_from_a_named_base(path: Path) -> None:
    steps = instructions(path)
    bases = [i.value for i in steps if i.name == "FROM"]
    assert len(bases) == 1
    assert "latest" not in bases[0]
    assert ":" in bases[0].replace("${", "") or bases[0] == "${BASE_IMAGE}"
    users = [i.value for i in steps if i.name == "USER"]
    if path == LAYER:
        assert users == []  # its own entry point drops to a user that it makes
    else:
        assert int(users[-1]) > 0
        names = [i.name for i in steps]
        assert "RUN" not in names[len(names) - names[::-1].index("USER") :]
    for step in steps:
        assert not SECRET.search(step.value), step


def test_no_image_holds_the_ros_that_may_not_be_passed_on() -> None:
    for path in [*DOCKERFILES, *INSTALL.iterdir()]:
        code = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
        assert "isaacsim-ros2" not in "\n".join(code), path
        assert "bootstrap.sh" not in "\n".join(code), path


def compose() -> dict[str, object]:
    """Return the compose file with its YAML anchors resolved."""
    loaded: dict[str, object] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
    return loaded


def check_compose(content: dict[str, object]) -> compose_spec.ComposeSpecification:
    """Return the compose file as the specification reads it; raises ValueError where it does not fit."""
    return compose_spec.PyCompose.from_yaml(yaml.safe_dump(content)).to_spec()


def test_compose_file_fits_the_specification() -> None:
    services = check_compose(compose()).services
    assert services is not None
    assert set(services) == {"robot", "workstation", "training", "isaac_sim"}
    text = (DOCKER / "compose.yaml").read_text()
    for wrong, right in [("unless-stopped", "sometimes"), ("shm_size", "shm_sise"), ("[training]", "3")]:
        assert wrong in text
        with pytest.raises(ValueError, match=r"."):
            check_compose(yaml.safe_load(text.replace(wrong, right)))


def test_compose_services_are_built_here_and_confined() -> None:
    services = compose()["services"]
    assert isinstance(services, dict)
    for name, service in services.items():
        assert service["profiles"] == [name]
        build = service["build"]
        dockerfile = (DOCKER / build["context"] / build["dockerfile"]).resolve()
        assert dockerfile in DOCKERFILES
        declared = re.findall(r"^ARG (\w+)", dockerfile.read_text(), re.M)
        assert set(build.get("args", {})) <= set(declared)
        assert service["image"].startswith("palletjack:")
        assert not service["image"].endswith(":latest")
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "privileged" not in service


def test_the_licence_of_isaac_sim_is_not_accepted_for_anyone() -> None:
    services = compose()["services"]
    assert isinstance(services, dict)
    assert services["isaac_sim"]["environment"] == {"ACCEPT_EULA": "${ACCEPT_EULA:-}"}
    steps = instructions(DOCKER / "Dockerfile.isaac_sim")
    assert not any("ACCEPT_EULA" in step.value for step in steps)


def test_isaac_sim_packages_hold_what_the_command_imports() -> None:
    program = (
        "import sys, importlib.metadata as m\n"
        "import palletjack_cli.main, palletjack_sdg.isaac_sim.generate, palletjack_sdg.isaac_sim.smoke\n"
        "owners = m.packages_distributions()\n"
        "tops = {name.split('.')[0] for name in sys.modules} - set(sys.stdlib_module_names)\n"
        "print(*{owner for top in tops for owner in owners.get(top, [])})\n"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    listed = {
        re.sub(r"[-_.]+", "-", line).lower()
        for line in (INSTALL / "isaac-sim-packages.txt").read_text().splitlines()
        if not line.startswith("#")
    }
    needed = {re.sub(r"[-_.]+", "-", name).lower() for name in loaded.split()}
    from_isaac_sim = {"numpy", "setuptools"}
    assert needed - listed - from_isaac_sim - {"palletjack"} == set()
    words = words_of(
        next(i.value for i in instructions(DOCKER / "Dockerfile.isaac_sim") if i.name == "ENTRYPOINT")
    )
    shown = subprocess.run([sys.executable, *words[1:], "--help"], capture_output=True, text=True, timeout=60)
    assert shown.returncode == 0, shown.stderr
    assert "Usage: palletjack" in shown.stdout


@pytest.mark.parametrize("version", ["3.2", "4.x"])
def test_isaac_ros_finds_the_layer(version: str) -> None:
    """The way of build_image_layers: source the file, then look for Dockerfile.KEY in every folder."""
    config = DOCKER / f"isaac_ros_{version}" / "isaac_ros_common-config"
    show = 'echo "${CONFIG_IMAGE_KEY:-}"; printf "%s\\n" "${CONFIG_DOCKER_SEARCH_DIRS[@]}"'
    shell = f'source "{config}"; {show}'
    printed = subprocess.run(
        ["bash", "-c", shell], env={"ISAAC_ROS_WS": "/ws"}, capture_output=True, text=True, check=True
    )
    key, *folders = printed.stdout.splitlines()
    if version == "3.2":
        keys = key.split(".")
        assert keys[0] == "ros2_humble"
    else:
        keys = yaml.safe_load((DOCKER / "isaac_ros_4.x" / "config.yaml").read_text())["docker"]["image"][
            "additional_image_keys"
        ]
        assert folders[1:] == ["/etc/isaac-ros-cli/docker"]
    assert folders[0] == "/ws/src/palletjack/docker"
    assert (DOCKER / f"Dockerfile.{keys[-1]}") == LAYER
