import time

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.frame_loop import BUDGET_S, Loader, PictureSize, Scene
from avatar.errors import AvatarFileError
from render.choose import open_renderer

ROOM = (880, 760)


def after(size: PictureSize, frames: int, cost, room=ROOM) -> list[tuple[int, int]]:
    """The sizes of some frames on a machine where `cost(pixels)` gives (other, drawing) seconds."""
    sizes = []
    for _ in range(frames):
        width, height = size.fit(room)
        other, drawing = cost(width * height)
        size.observe(other + drawing, drawing)
        sizes.append((width, height))
    return sizes


def test_a_slow_machine_settles_on_a_size_that_it_can_hold():
    def cost(pixels: int) -> tuple[float, float]:
        return 0.010, 2.5e-7 * pixels  # 0.12 s for the whole room

    sizes = after(PictureSize(880, adapts=True), 600, cost)
    assert sizes[0] == ROOM
    last = sizes[-200:]
    assert max(sum(cost(width * height)) for width, height in last) <= BUDGET_S
    assert len(set(last)) == 1  # and stays there
    assert last[0][0] > 300


def test_a_fast_machine_draws_all_and_a_freed_one_grows_back():
    size = PictureSize(720, adapts=True)
    assert set(after(size, 100, lambda pixels: (0.004, 0.008))) == {(720, 622)}
    slow = after(size, 100, lambda pixels: (0.01, 2.5e-7 * pixels))[-1]
    assert slow[0] < 600
    assert after(size, 900, lambda pixels: (0.004, 1e-8 * pixels))[-1] == (720, 622)


def test_a_smaller_picture_that_is_not_quicker_is_not_made():
    sizes = after(PictureSize(720, adapts=True), 400, lambda pixels: (0.06, 0.03))
    assert np.mean([size == (720, 622) for size in sizes]) > 0.8


def test_a_measurement_draws_what_was_asked_for():
    size = PictureSize(512, adapts=False)
    assert set(after(size, 60, lambda pixels: (0.1, 0.9), (512, 512))) == {(512, 512)}


@example(room=(64, 3584), largest=64, times=[1.0])
@given(
    room=st.tuples(st.integers(64, 4000), st.integers(64, 4000)),
    largest=st.integers(64, 2000),
    times=st.lists(st.floats(0.001, 1.0), max_size=60),
)
def test_every_size_has_the_shape_of_the_room_and_fits(room, largest, times):
    size = PictureSize(largest, adapts=True)
    for seconds in times:
        size.observe(seconds, 0.7 * seconds)
        width, height = size.fit(room)
        assert 2 <= width <= room[0]
        assert 2 <= height <= room[1]
        assert max(width, height) <= largest + 1
        if min(width, height) > 2:  # a window 50 times as wide as high gets 2 rows all the same
            assert width / height == pytest.approx(room[0] / room[1], rel=1.5 / min(width, height))


def test_the_loader_makes_scenes_beside_the_loop_and_keeps_the_renderer():
    renderer = open_renderer("reference")
    seen = []

    class Still:
        def gaussians(self, motion, *, seen_from):
            raise NotImplementedError

    def load(avatar, open_already):
        seen.append(open_already)
        if avatar == "bad":
            raise AvatarFileError("bad.avatar: damaged.")
        if avatar == "worse":
            raise KeyError("mouth")
        return Scene(avatar, Still(), renderer)

    loader = Loader(load)
    try:
        for count, (avatar, problem) in enumerate(
            [
                ("one", ""),
                ("bad", "bad.avatar: damaged."),
                ("worse", "worse: KeyError: 'mouth'"),
                ("two", ""),
            ],
            start=1,
        ):
            loader.request(avatar)
            end = time.perf_counter() + 10
            while (result := loader.result.read()) is None or result.sequence < count:
                assert time.perf_counter() < end
                time.sleep(0.005)
            assert result.value.problem == problem
            if not problem:
                assert result.value.scene is not None
                assert result.value.scene.avatar == avatar
    finally:
        loader.close()
    assert seen == [None, renderer, renderer, renderer]
