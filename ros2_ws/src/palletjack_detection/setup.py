"""The ament_python package. `colcon build` runs this; nothing here is needed for the pip package."""

from pathlib import Path

from setuptools import find_packages, setup

PACKAGE = "palletjack_detection"
HERE = Path(__file__).resolve().parent
SHARE = f"share/{PACKAGE}"


def shipped_models() -> list[tuple[str, list[str]]]:
    """Return the shipped models as data files; `models` is a link to the folder of the repository."""
    folders = sorted(path.parent.name for path in (HERE / "models").glob("*/model.json"))
    places = [place for name in folders for place in (f"models/{name}", f"models/{name}/deepstream")]
    return [(f"{SHARE}/{place}", files) for place in places if (files := files_of(place, "*.*"))]


def files_of(folder: str, pattern: str) -> list[str]:
    """Return the files of one folder of the package, relative to it."""
    return sorted(str(path.relative_to(HERE)) for path in (HERE / folder).glob(pattern))


setup(
    name=PACKAGE,
    version="0.1.0",
    packages=find_packages(exclude=["test"]),
    package_data={PACKAGE: ["py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (SHARE, ["package.xml"]),
        (f"{SHARE}/launch", files_of("launch", "*.launch.py")),
        (f"{SHARE}/config", files_of("config", "*.*")),
        *shipped_models(),
    ],
    install_requires=["setuptools"],
    extras_require={"test": ["pytest"]},
    zip_safe=False,
    maintainer="The palletjack maintainers",
    maintainer_email="maintainers@palletjack.invalid",
    description="Finds hand pallet trucks in camera images and keeps a robot away from them",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            f"palletjack_detector = {PACKAGE}.nodes.entry:detector",
            f"palletjack_approach = {PACKAGE}.nodes.entry:approach",
            f"palletjack_guard = {PACKAGE}.nodes.entry:guard",
            f"palletjack_locator = {PACKAGE}.nodes.entry:locator",
            f"palletjack_tracker = {PACKAGE}.nodes.entry:tracker",
            f"palletjack_visualizer = {PACKAGE}.nodes.entry:visualizer",
            f"palletjack_recorder = {PACKAGE}.nodes.entry:recorder",
            f"image_folder = {PACKAGE}.nodes.entry:image_folder",
            f"image_source = {PACKAGE}.nodes.entry:image_source",
            f"detection_mapper = {PACKAGE}.nodes.entry:detection_mapper",
            f"setup_model = {PACKAGE}.nodes.setup_model:main",
        ],
    },
)
