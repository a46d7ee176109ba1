"""How the suite is shared out when pytest-xdist runs it in several processes (as `make test` does)."""

from __future__ import annotations

import os

import pytest

LOOPS = ("test_ros_closed_loop.py", "test_ros_launch.py")
# Here, and in every command that a test starts: threads that wait for each other spin, and where another
# process has their core they do so for long. A pruning took 3.5 times the processor time by two threads.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests of a file together, and those of all files with a ROS 2 graph, for ``--dist loadgroup``.

    A file's renders and models are then made once. Graphs that go by the machine's clock never share it:
    theirs are the tests that wait for answers, and they leave the other process most of the cores. Those of
    the closed loop, in step with simulated time, are a second such group. Groups are handed out in the order
    of their first test: the graphs, which take longest, then files with long tests, then the others.
    """
    if not hasattr(config, "workerinput"):
        return  # One process: the files as they come.
    graphs = {item.path for item in items if item.get_closest_marker("ros")}
    long = {item.path for item in items if item.get_closest_marker("long")}
    for item in items:
        name = f"{item.path.parent.name}/{item.path.stem}"
        if item.path in graphs:
            name = "loop" if item.path.name in LOOPS else "ros"
        item.add_marker(pytest.mark.xdist_group(name))
    items.sort(key=lambda item: (item.path not in graphs, item.path not in long))
