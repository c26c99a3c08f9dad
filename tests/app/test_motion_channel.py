import multiprocessing

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.motion_channel import LATENT_CAPACITY, SLOTS, MotionChannel, SharedRecord
from avatar.types import MotionFrame

TOTAL = 4000


def frame(index: int, latent_size: int = 8) -> MotionFrame:
    """Every number of it is the index, so that a torn frame shows."""
    value = np.float32(index)
    return MotionFrame(
        index=index,
        time_s=index / 50,
        latent=np.full(latent_size, value),
        expression=np.full(52, value),
        gaze=np.full(2, value),
        head_rotation=np.full(3, value),
        head_translation=np.full(3, value),
        tongue=np.full(3, value),
    )


def write_frames(name: str) -> None:
    channel = MotionChannel(name)
    for index in range(TOTAL):
        channel.write(frame(index), heard_s=index / 50)
    channel.close(unlink=False)


def test_no_frame_is_torn_or_out_of_order_across_processes():
    channel = MotionChannel()
    try:
        context = multiprocessing.get_context("spawn")
        writer = context.Process(target=write_frames, args=(channel.name,))
        writer.start()
        got: list[int] = []
        while writer.is_alive() or not got or got[-1] < TOTAL - 1:
            records = channel.read_new()
            assert (records["expression"] == records["index"][:, None]).all()
            assert (records["head_translation"] == records["index"][:, None]).all()
            assert (records["tongue"] == records["index"][:, None]).all()
            got += records["index"].tolist()
            writer.join(0.002)
        writer.join()
        assert got == sorted(set(got))
        assert len(got) + channel.missed == TOTAL
    finally:
        channel.close(unlink=True)


@settings(max_examples=20)
@given(bursts=st.lists(st.integers(0, 2 * SLOTS), min_size=1, max_size=8))
def test_a_reader_gets_the_newest_frames_and_counts_the_rest(bursts):
    channel = MotionChannel()
    try:
        written = read = 0
        for burst in bursts:
            for index in range(written, written + burst):
                channel.write(frame(index), heard_s=index / 50)
            written += burst
            records = channel.read_new()
            read += len(records)
            expected = min(burst, SLOTS // 2)
            assert records["index"].tolist() == list(range(written - expected, written))
        assert read + channel.missed == written
    finally:
        channel.close(unlink=True)


def test_a_frame_crosses_whole():
    channel = MotionChannel()
    other = MotionChannel(channel.name)
    try:
        channel.write(frame(7, latent_size=3), heard_s=12.5)
        (record,) = other.read_new()
        assert (record["index"], record["heard_s"], record["latent_size"]) == (7, 12.5, 3)
        assert record["latent"][:3].tolist() == [7, 7, 7]
        assert record["time_s"] == pytest.approx(0.14)
        with pytest.raises(AssertionError, match="latent of"):
            channel.write(frame(8, latent_size=LATENT_CAPACITY + 1), heard_s=0)
    finally:
        other.close(unlink=False)
        channel.close(unlink=True)


@given(text=st.text(max_size=60))
def test_a_text_is_cut_between_characters_only(text):
    record = SharedRecord(np.dtype([("note", "S40"), ("count", np.int64)]))
    try:
        record.set_text("note", text)
        got = record.text("note")
        # Trailing zeros are how the field is padded, so they do not come back.
        whole = text.encode("utf-8", errors="surrogatepass").rstrip(b"\0")
        assert whole.startswith(got.encode())
        assert len(whole) - len(got.encode()) <= max(0, len(text.encode()) - 40) + 3
    finally:
        record.close(unlink=True)


def test_both_sides_see_a_shared_record():
    layout = np.dtype([("count", np.int64), ("gain", np.float64)])
    here = SharedRecord(layout)
    there = SharedRecord(layout, here.name)
    try:
        here["gain"] = 2.5
        here["count"] += 3
        assert (there["gain"], there["count"]) == (2.5, 3)
    finally:
        there.close(unlink=False)
        here.close(unlink=True)
