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
from palletjack_detection.pool_cores import PoolCores, thread_ids
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


def test_on_a_single_core_the_pool_stays_where_it_is(sleeper: int) -> None:
    os.sched_setaffinity(0, {CORES[0]})
    try:
        PoolCores([sleeper], lambda: CORES[0]).leave_callers_core()
    finally:
        os.sched_setaffinity(0, CORES)
    assert os.sched_getaffinity(sleeper) == set(CORES)


@TWO_CORES
def test_a_thread_that_has_ended_is_left_out() -> None:
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()
    assert thread.native_id is not None
    PoolCores([thread.native_id]).leave_callers_core()


def test_this_thread_is_among_the_threads_and_an_empty_pool_is_left_alone() -> None:
    assert threading.get_native_id() in thread_ids()
    PoolCores([]).leave_callers_core()


@TWO_CORES
@pytest.mark.parametrize("threads", [2, None])
def test_a_detector_moves_the_threads_of_onnx_runtime(tmp_path: Path, threads: int | None) -> None:
    model = write_tiny_model(tmp_path / "tiny")
    pytest.importorskip("onnxruntime")  # which starts a thread of its own when it is loaded
    before = thread_ids()
    detector = Detector.load(model, threads=threads, providers=["CPUExecutionProvider"])
    pool = thread_ids() - before
    detector.detect(np.zeros((544, 960, 3), np.uint8))
    assert all(len(os.sched_getaffinity(thread)) == len(CORES) - 1 for thread in pool)
    assert pool or threads is None
