import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.frame_loop import (
    BUDGET_S,
    FrameLoop,
    LiveOptions,
    Loader,
    MemoryDisplay,
    PictureSize,
    Scene,
    TurnResult,
)
from app.headset_switches import HeadsetSwitches
from app.mirror_view import MirrorShows
from app.motion_channel import RECORD, MotionChannel
from app.outputs import OutputOptions, Outputs
from app.panel import Wishes
from app.speech_process import SourceState
from app.streams.sender import Streams
from app.streams.targets import Target
from app.timing import HeadsetTiming
from avatar.errors import AvatarFileError
from avatar.motion.direction import Direction
from avatar.types import MotionFrame
from render.choose import open_renderer
from render.headset import Extras, Turn
from tests.app.stand_ins import NOTHING_HEARD
from tests.render.scenes import gaussians_of

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


class FakeHeadset:
    """Every turn is due at once; nothing is drawn."""

    problem = lost = ""
    description = "a fake headset"
    mirror = None
    extras = Extras()

    def __init__(self, loop_ends) -> None:
        self.switches = HeadsetSwitches()
        self.timing = HeadsetTiming()
        self.loop_ends = loop_ends
        self.shown: list[MotionFrame] = []
        self.skipped = self.returns = 0
        self.wishes, self.talking = Wishes(), False

    def begin(self, scene):
        if scene is None:
            return None
        count = len(self.shown) + self.skipped
        self.loop_ends(count)
        return Turn(1000.0 + count / 90, 1 / 90, 0, is_seen=count % 4 != 3)

    def skip(self, turn):
        self.skipped += 1

    def show(self, turn, scene, motion, view, *, mirrors):
        assert view.headset == "a fake headset"
        assert mirrors is None  # nobody looks at a display in memory
        self.shown.append(motion)
        return TurnResult(self.wishes, self.talking)

    def return_now(self):
        self.returns += 1


class FakeSpeech:
    """A speech process that hears nothing and remembers what it was told."""

    process_id = 1
    deaths = 0
    motions = 0

    def __init__(self) -> None:
        self.gains: list[float] = []
        self.directions: list[Direction] = []

    def set_gain(self, gain):
        self.gains.append(gain)

    def direct(self, direction):
        self.directions.append(direction)

    def watch(self, now_s): ...

    def begin(self): ...

    def read_motion(self):
        return np.zeros(0, RECORD)

    def report(self):
        return replace(NOTHING_HEARD, state=SourceState.LOADING)


class StillScene:
    def gaussians(self, motion, *, seen_from):
        return gaussians_of([0.0, 0.0, 0.0])


def run_in_headset(change=lambda headset, count: None, turns: int = 12, streams=None):
    """The loop with a fake headset; `change(headset, count)` acts before each turn."""
    speech, display = FakeSpeech(), MemoryDisplay(64, 64)
    scene = Scene("one", StillScene(), open_renderer("reference"))
    loader = Loader(lambda avatar, renderer: scene)

    def before_turn(count: int) -> None:
        change(headset, count)
        if count >= turns:
            loop.stop()

    headset = FakeHeadset(before_turn)
    options = LiveOptions(avatar="one", avatars=("one",), seconds=60.0)
    outputs = Outputs(
        OutputOptions(folder=Path(), fps=30.0, backdrop=(0.0, 0.0, 0.0)),
        lambda: np.zeros(0, np.void),
    )
    loop = FrameLoop(
        display,
        speech,  # pyright: ignore[reportArgumentType]
        loader,
        options,
        headset=headset,
        outputs=outputs,
        streams=streams,
    )
    try:
        loop.run()
    finally:
        loader.close()
    return headset, speech, display, loop


def test_a_headset_takes_the_turns_and_unseen_ones_are_the_windows():
    headset, _, display, loop = run_in_headset()
    assert len(headset.shown) >= 9
    assert headset.skipped >= 3
    assert display.last is not None  # what an unseen turn drew
    # One more: the window's, of the turn in which the avatar came.
    assert loop.timing.frames == len(headset.shown) + headset.skipped + 1
    # Sampled for the moment at which it is lit, and not for now.
    assert all(motion.time_s == pytest.approx(1000, abs=1) for motion in headset.shown[:3])


def test_the_panel_tells_of_a_stream_that_is_not_sent():
    channel = MotionChannel()
    streams = Streams(
        [Target.parse(["osc://no-such-host.invalid"])], 60.0, channel.name, lambda: None
    )
    try:
        *_, loop = run_in_headset(turns=2, streams=streams)
        (problem,) = loop._panel_view().problems
        assert "no-such-host.invalid" in problem
    finally:
        streams.close()
        channel.close(unlink=True)


def test_push_to_talk_hears_only_while_it_is_held():
    def change(headset, count):
        headset.wishes = Wishes(push_to_talk=True) if count == 1 else Wishes()
        headset.talking = 4 <= count <= 6

    _, speech, _, _ = run_in_headset(change)
    assert speech.gains == [1.0, 0.0, 1.0, 0.0]  # as it begins, then by the button


def test_what_the_rooms_panel_asks_for_is_done():
    asked = Direction(gaze=(0.1, 0.0))

    def change(headset, count):
        headset.wishes = Wishes(direction=asked, headset=True) if count == 2 else Wishes()
        if count == 4:  # the one before is not seen
            headset.wishes = Wishes(headset_switches=HeadsetSwitches(MirrorShows.THIRD))

    headset, speech, _, _ = run_in_headset(change)
    assert headset.switches.mirror is MirrorShows.THIRD
    assert speech.directions[-1] is asked
    assert headset.returns == 1


def test_new_motion_ends_a_pause_and_nothing_else_does():
    _, speech, _, loop = run_in_headset()
    speech.motions = loop._motions_read + 1
    late = time.perf_counter() + 20
    assert loop._pause_until(late) < late
    loop._take_motion()
    soon = time.perf_counter() + 0.05
    assert loop._pause_until(soon) == soon
