"""A headset in use within a test: turn by turn, with what both eyes saw."""

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import moderngl
import numpy as np

from app.face_sampler import FaceSampler
from app.frame_loop import Scene, TurnResult
from app.headset import EyesSeen, HeadsetSide
from app.headset_switches import HeadsetSwitches
from app.panel import PanelView
from app.placement_file import Remembered
from avatar.types import MotionFrame
from render.gl import unseen_context
from tests.headset.monado import Remote, Service

PATIENCE_S = 60.0
VIEW = PanelView(avatar="default", avatars=("default",))


class Worn:
    """The program's own headset side, driven by hand."""

    def __init__(self, side: HeadsetSide, scene: Scene, context: moderngl.Context) -> None:
        self.side, self.scene, self.context = side, scene, context
        self.seen: EyesSeen | None = None
        self.view = VIEW
        self.motion: MotionFrame | None = None
        """What the face does; None: it waits."""
        self.mirrors: tuple[int, int] | None = None
        """How large the window's picture is to be."""
        side.looked_at = self._look
        self._sampler = FaceSampler()

    def _look(self, seen: EyesSeen) -> None:
        self.seen = seen

    def turn(self) -> TurnResult | None:
        """One turn; None where nothing was to be seen."""
        turn = self.side.begin(self.scene)
        if turn is None:
            time.sleep(0.005)
            return None
        if not turn.is_seen:
            self.side.skip(turn)
            return None
        motion = self.motion or self._sampler.sample(turn.display_s).motion
        return self.side.show(turn, self.scene, motion, self.view, mirrors=self.mirrors)

    def begin_anew(self, scene: Scene) -> None:
        """As at the beginning of a session, with everything at its place."""
        self.scene, self.motion, self.mirrors = scene, None, None
        side = self.side
        side.panel_place = side.panel_was = None
        side.panel_in_eyes, side.switches, side.remembered = False, HeadsetSwitches(), Remembered()
        self.settled()  # hands that held something have let go
        side.remembered, side.placement = Remembered(), None
        self.turns(1)

    def turns(self, count: int) -> EyesSeen:
        """So many turns that were seen; the last of them."""
        end, shown = time.monotonic() + PATIENCE_S, 0
        while shown < count:
            assert time.monotonic() < end, f"after {shown} turns: {self.side.problem}"
            shown += self.turn() is not None
        assert self.seen is not None
        return self.seen

    def settled(self) -> EyesSeen:
        """Turns until what the remote control sent last has been felt, on a busy machine too."""
        end = time.monotonic() + 0.3
        seen = self.turns(5)
        while time.monotonic() < end:
            seen = self.turns(1)
        return seen

    def until(self, happened: Callable[[], bool], what: str) -> None:
        """Turns until something is so."""
        end = time.monotonic() + PATIENCE_S
        while not happened():
            assert time.monotonic() < end, f"{what} did not happen: {self.side.problem}"
            self.turn()


@contextmanager
def worn(
    scene: Scene, service: Service, placement_file: Path | None = None, *, finer: float = 1.0
) -> Iterator[Worn]:
    """The headset of a service, taken up by the program."""
    os.environ.update(service.environment)
    context = unseen_context()
    with context:
        side = HeadsetSide(context, placement_file, insists=True, adapts=False, finer=finer)
        try:
            yield Worn(side, scene, context)
            assert context.error == "GL_NO_ERROR"
        finally:
            side.close()
    context.release()


def avatar_centre(picture: np.ndarray) -> np.ndarray:
    """[2] x, y of the middle of what is bright, pixels: the room is dark."""
    bright = picture.astype(int).max(axis=2) > 96
    rows, columns = np.nonzero(bright)
    assert len(rows) > 30, "no avatar in the picture"
    return np.array([columns.mean(), rows.mean()])


def aim_at(headset: Worn, remote: Remote, place: tuple[float, float]) -> None:
    """Turn the right controller until its ray meets this place of the panel. How its ray lies to
    it is the runtime's own affair."""
    panel = headset.side.panel_place
    assert panel is not None
    found = None
    for _ in range(20):
        aim = headset.side.hands[1].aim
        found = panel.pointed_at(aim)
        if found is not None and np.allclose(found, place, atol=0.01):
            return
        away, along = panel.point(place) - aim.position, aim.forward
        remote.right.yaw += math.atan2(-away[0], -away[2]) - math.atan2(-along[0], -along[2])
        remote.right.pitch += math.atan2(away[1], math.hypot(away[0], away[2])) - math.asin(
            along[1]
        )
        remote.send()
        headset.settled()
    raise AssertionError(f"the ray does not get to {place}: {found}")


def toggle_panel(headset: Worn, remote: Remote) -> None:
    """Press the left hand's button of the panel, and let go at once: held longer it means
    something else."""
    remote.left.pressed = {"a_click"}
    remote.send()
    headset.until(lambda: headset.side.hands[0].panel, "the press")
    remote.left.pressed = set()
    remote.send()
    headset.until(lambda: not headset.side.hands[0].panel, "the release")
