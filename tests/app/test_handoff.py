import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.handoff import Latest, SampleRing


@given(blocks=st.lists(st.integers(0, 40), max_size=60), frame=st.integers(1, 32))
def test_a_ring_gives_back_what_was_written_in_order(blocks, frame):
    ring, out = SampleRing(64), np.empty(frame, np.float32)
    sent: list[float] = []
    got: list[float] = []
    clock = dropped = 0
    for size in blocks:
        block = np.arange(clock, clock + size, dtype=np.float32)
        if ring.write(block):
            sent.extend(block)
        else:
            dropped += size
        clock += size
        while ring.read_into(out):
            got.extend(out.copy())
    assert got == sent[: len(got)]
    assert len(sent) - len(got) == ring.available
    assert ring.dropped == dropped


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["write", "skip", "read"]), st.integers(0, 40)), max_size=60
    )
)
def test_skipping_takes_the_oldest_and_no_more_than_there_are(steps):
    ring = SampleRing(64)
    waiting: list[float] = []
    clock = 0
    for step, size in steps:
        if step == "write":
            block = np.arange(clock, clock + size, dtype=np.float32)
            clock += size
            assert ring.write(block) == (len(waiting) + size <= ring.capacity)
            if len(waiting) + size <= ring.capacity:
                waiting += block.tolist()
        elif step == "skip":
            assert ring.skip(size) == min(size, len(waiting))
            waiting = waiting[size:]
        else:
            out = np.full(size, -1, np.float32)
            if ring.read_into(out):
                assert out.tolist() == waiting[:size]
                waiting = waiting[size:]
            else:
                assert (out == -1).all()
        assert ring.available == len(waiting)


def test_a_ring_survives_two_threads():
    ring, total = SampleRing(1024), 100_000
    got = np.empty(total, np.float32)

    def write() -> None:
        sent = 0
        while sent < total:
            count = min(160, total - sent)
            if ring.capacity - ring.available >= count:
                assert ring.write(np.arange(sent, sent + count, dtype=np.float32))
                sent += count
            else:
                time.sleep(0)

    writer = threading.Thread(target=write)
    writer.start()
    read = 0
    while read < total:
        count = min(64, total - read)
        if ring.read_into(got[read : read + count]):
            read += count
        else:
            time.sleep(0)
    writer.join()
    assert (got == np.arange(total, dtype=np.float32)).all()
    assert ring.dropped == 0


def test_the_capacity_must_be_a_power_of_two():
    with pytest.raises(ValueError, match="power of two, got 100"):
        SampleRing(100)


def test_the_latest_value_knows_how_many_there_were():
    slot: Latest[str] = Latest()
    assert slot.read() is None
    slot.publish("a", 10.0)
    slot.publish("b", 20.0)
    now = slot.read()
    assert now is not None
    assert (now.value, now.time_s, now.sequence) == ("b", 20.0, 2)
