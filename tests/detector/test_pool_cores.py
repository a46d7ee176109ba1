"""The network's own threads stay off the core of the thread that runs it."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from palletjack_detection.detector import Detector
from palletjack_detection.pool_cores import PoolCores, thread_ids, threads_of_python
from tests.detector.tiny_model import write_tiny_model

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="cores are chosen on Linux only")
CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
TWO_CORES = pytest.mark.skipif(len(CORES) < 2, reason="needs two cores")


@pytest.fixture
def sleeper() -> Iterator[int]:
    """Kernel's id of a thread that does nothing."""
    end, started = threading.Event(), threading.Event()

    def sleep() -> None:
        started.set()
        end.wait()

    thread = threading.Thread(target=sleep)
    thread.start()
    started.wait()
    assert thread.native_id is not None
    yield thread.native_id
    end.set()
    thread.join()


@TWO_CORES
def test_the_pool_leaves_each_core_that_its_caller_moves_to(sleeper: int) -> None:
    at = CORES[0]
    pool = PoolCores([sleeper], lambda: at)
    for at in (CORES[0], CORES[1], CORES[1], CORES[0]):
        pool.leave_callers_core()
        assert os.sched_getaffinity(sleeper) == set(CORES) - {at}


@TWO_CORES
def test_on_a_single_core_the_pool_stays_where_it_is(sleeper: int) -> None:
    """And is moved again once there are two: the single one was no error that ends it."""
    pool = PoolCores([sleeper], lambda: CORES[0])
    os.sched_setaffinity(0, {CORES[0]})
    try:
        pool.leave_callers_core()
    finally:
        os.sched_setaffinity(0, CORES)
    assert os.sched_getaffinity(sleeper) == set(CORES)
    other = PoolCores([sleeper], iter((CORES[0], CORES[1])).__next__)
    other.leave_callers_core()
    other.leave_callers_core()
    assert os.sched_getaffinity(sleeper) == set(CORES) - {CORES[1]}


@TWO_CORES
def test_a_thread_that_has_ended_is_left_out(sleeper: int) -> None:
    """The others are moved all the same."""
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()
    assert thread.native_id is not None
    at = CORES[0]
    pool = PoolCores([thread.native_id, sleeper, *([sleeper] * len(CORES))], lambda: at)
    for at in CORES[:2]:
        pool.leave_callers_core()
        assert os.sched_getaffinity(sleeper) == set(CORES) - {at}


@TWO_CORES
def test_where_cores_abound_linux_places_the_pool(sleeper: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as many:
        many.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
        pool = PoolCores([sleeper], lambda: CORES[0])
    pool.leave_callers_core()
    assert os.sched_getaffinity(sleeper) == set(CORES)


def test_threads_of_python_are_told_from_others() -> None:
    assert threading.get_native_id() in threads_of_python()
    assert threads_of_python() <= thread_ids()


def test_this_thread_is_among_the_threads_and_an_empty_pool_is_left_alone() -> None:
    assert threading.get_native_id() in thread_ids()
    PoolCores([]).leave_callers_core()


@TWO_CORES
def test_a_detector_moves_the_threads_of_onnx_runtime(tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "tiny")
    pytest.importorskip("onnxruntime")  # which starts a thread of its own when it is loaded
    before = thread_ids()
    count = len(CORES)
    detector = Detector.load(model, threads=count, providers=["CPUExecutionProvider"])
    pool = thread_ids() - before
    detector.detect(np.zeros((544, 960, 3), np.uint8))
    assert len(pool) == count - 1
    assert all(len(os.sched_getaffinity(thread)) == len(CORES) - 1 for thread in pool)
