"""Renderer, avatar and size are changed while the loop runs: the face goes on, and nothing stays
behind on the card. In a context without a window, where Mesa's llvmpipe draws."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import moderngl
import numpy as np
import psutil
import pytest
from PIL import Image

from app.commands.live import load_scene, with_detail
from app.detail import DetailedPosing
from app.frame_loop import FrameLoop, LiveOptions, Loader, Picture, Scene
from app.motion_channel import RECORD
from app.outputs import OutputOptions, Outputs, Snapshot
from app.panel import Orbit, PanelView, Wishes
from app.posing import CardPosing
from app.renderers import Renderers
from app.speech_process import SpeechProcess, SpeechReport
from avatar.avatar_file import save_avatar
from avatar.errors import DeviceError
from avatar.level_of_detail import thinned
from render.gl import GlRenderer
from render.gl_driver import open_context
from render.gl_head import GlHead
from render.gl_memory import Canvas
from render.gl_sort import CardOrder
from render.renderer import CardPicture
from tests.app.stand_ins import NOTHING_HEARD
from tests.avatar.plain_head import taught
from tests.render.living import Bystander, living

PATIENCE_S = 60.0


class Silence:
    """A speech process in which nothing is heard."""

    deaths = motions = 0

    def report(self) -> SpeechReport:
        return NOTHING_HEARD

    def read_motion(self) -> np.ndarray:
        return np.zeros(0, RECORD)

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


class Person:
    """In the panel's place: asks for what the test wants, and knows what was shown."""

    def __init__(self) -> None:
        self.orbit = Orbit()
        self.asks = Wishes()
        self.view: PanelView | None = None

    def draw(self, view: PanelView) -> Wishes:
        self.view, asked, self.asks = view, self.asks, Wishes()
        return asked


class Screen:
    """A display that takes textures; it ends the loop where the test says so."""

    refresh_s = 0.0
    takes_textures = True
    across = 1
    view = (0.0, 0.0, 1.0)

    def __init__(self) -> None:
        self.panel: Any = Person()
        self.size: tuple[int, int] = (64, 48)
        self.shown: Picture | CardPicture | None = None
        self.script: Iterator[None] = iter(())

    def begin_frame(self) -> bool:
        return next(self.script, self) is not self

    def room(self) -> tuple[int, int]:
        return self.size

    def show(self, picture: Picture | CardPicture | None) -> None:
        self.shown = picture

    def whole(self, picture: Picture) -> Picture:
        return picture

    def show_texture(self, texture: moderngl.Texture | None) -> None:
        raise AssertionError("no headset is worn here")

    def pixels(self) -> np.ndarray:
        """[H, W, 4] of what was shown last."""
        if isinstance(self.shown, CardPicture):
            return self.shown.read()
        assert self.shown is not None
        return self.shown


class Run:
    """A loop on a context, a script to go with it."""

    def __init__(
        self,
        context: moderngl.Context,
        avatars: tuple[str, ...],
        first: str,
        refine: Callable[[Scene], Scene] | None = None,
    ) -> None:
        self.screen = Screen()
        self.renderers = Renderers(context)
        self.loader = Loader(load_scene, refine=refine)
        options = LiveOptions(avatar=avatars[0], avatars=avatars, renderer=first, adapts=False)
        speech = cast(SpeechProcess, Silence())
        self.outputs = Outputs(
            OutputOptions(folder=Path(), fps=30.0, backdrop=(0.0, 0.0, 0.0)),
            lambda: np.zeros(0, np.void),
        )
        self.loop = FrameLoop(
            self.screen, speech, self.loader, options, self.renderers, outputs=self.outputs
        )

    def play(self, script: Iterator[None]) -> None:
        """Run until `script` is over; it goes on by one `yield` a frame."""
        self.screen.script = script
        self.loop.run()

    def close(self) -> None:
        self.loader.close()
        self.renderers.close()

    def settled(self) -> Iterator[None]:
        """Frames until all that was asked for is there, and one more."""
        end = time.perf_counter() + PATIENCE_S
        yield
        yield  # what is asked in one frame shows in the next
        while self.screen.panel.view is None or self.screen.panel.view.loading:
            assert time.perf_counter() < end
            yield
        yield

    def ask(self, **wish: Any) -> Iterator[None]:
        self.screen.panel.asks = Wishes(**wish)
        yield from self.settled()


@pytest.fixture(scope="module")
def avatars(small_avatar, small_avatar_file, tmp_path_factory) -> tuple[str, ...]:
    """Two of different sizes, the smaller with residuals, so faint that what it breathes meanwhile
    does not count; files."""
    smaller = tmp_path_factory.mktemp("smaller") / "smaller.avatar"
    other = thinned(taught(small_avatar), np.arange(1100))
    faint = {
        name: replace(part, bases=0.1 * part.bases)
        for name, part in (
            ("face_residual", other.face_residual),
            ("pose_residual", other.pose_residual),
        )
        if part is not None
    }
    assert len(faint) == 2
    save_avatar(replace(other, **faint), smaller)
    return str(small_avatar_file), str(smaller)


@contextmanager
def running(
    avatars: tuple[str, ...], refine: Callable[[Scene], Scene] | None = None
) -> Iterator[tuple[Run, moderngl.Context]]:
    with open_context() as context:
        run = Run(context, avatars, "gl", refine)
        try:
            yield run, context
        finally:
            run.close()
        assert context.error == "GL_NO_ERROR"
    context.release()


def test_renderer_and_avatar_change_while_it_runs_and_the_face_goes_on(avatars):
    seen = {}

    def script(run: Run) -> Iterator[None]:
        screen, loop = run.screen, run.loop
        yield from run.settled()
        assert isinstance(screen.shown, CardPicture)  # never read back
        assert (loop.backend, loop.posed_by) == ("gl", "card")
        seen["gl"] = screen.pixels().astype(int)
        yield from run.ask(renderer="cpu")
        assert isinstance(screen.shown, np.ndarray)
        assert (loop.backend, loop.posed_by) == ("cpu", "processor")
        assert screen.panel.view.wanted_renderer == "cpu"
        seen["cpu"] = screen.pixels().astype(int)
        yield from run.ask(avatar=avatars[1])
        assert loop.backend == "cpu"
        seen["cpu, second"] = screen.pixels().astype(int)
        yield from run.ask(renderer="gl")
        seen["gl, second"] = screen.pixels().astype(int)
        assert screen.panel.view.avatar == avatars[1]
        # Both at once, and another before the first is there.
        yield from run.ask(renderer="cpu", avatar=avatars[0])
        assert loop.backend == "cpu"
        screen.panel.asks = Wishes(renderer="gl")
        yield
        yield from run.ask(renderer="auto")
        seen["auto"] = screen.pixels().astype(int)
        assert screen.panel.view.wanted_renderer == "auto"

    with running(avatars) as (run, _):
        run.play(script(run))
    assert run.renderers.names[:2] == ("auto", "cpu")
    assert "gl" in run.renderers.names
    apart = lambda one, other: np.abs(seen[one] - seen[other]).mean()  # noqa: E731
    # The face breathes meanwhile.
    for one, other in (("gl", "cpu"), ("gl, second", "cpu, second"), ("auto", "gl")):
        assert apart(one, other) < 0.3 * apart("gl", "gl, second")
    assert 20 < seen["gl"][..., 3].mean() < 235


def test_a_renderer_that_does_not_open_is_told_and_the_last_one_draws_on(avatars, monkeypatch):
    def script(run: Run) -> Iterator[None]:
        yield from run.settled()
        monkeypatch.setattr("app.renderers.open_renderer", refuse)
        yield from run.ask(renderer="cpu")
        assert run.loop.backend == "gl"
        assert run.screen.panel.view.problems == ("renderer 'cpu': no.",)
        assert run.screen.panel.view.wanted_renderer == "gl"

    def refuse(*_: object, **__: object) -> None:
        raise DeviceError("renderer 'cpu': no.")

    with running(avatars) as (run, _):
        run.play(script(run))


def test_a_renderer_that_cannot_be_made_ready_is_given_back(avatars, monkeypatch):
    def script(run: Run) -> Iterator[None]:
        yield from run.settled()
        monkeypatch.setattr("render.cpu.CpuRenderer.warm_up", refuse)
        yield from run.ask(renderer="cpu")
        assert run.loop.backend == "gl"
        assert "no compiler" in run.screen.panel.view.problems[0]
        assert run.screen.panel.view.wanted_renderer == "gl"
        yield from run.ask(avatar=avatars[1])
        assert run.screen.panel.view.avatar == avatars[1]

    def refuse(_: object) -> float:
        raise DeviceError("no compiler here")

    with running(avatars) as (run, _):
        run.play(script(run))


def test_levels_of_detail_follow_when_they_are_made(avatars):
    def script(run: Run) -> Iterator[None]:
        yield from run.settled()
        for renderer in ("gl", "cpu"):
            end = time.perf_counter() + PATIENCE_S
            while True:
                scene = run.loop._scene
                assert scene is not None
                if isinstance(posing := scene.deformer, DetailedPosing):
                    break
                assert time.perf_counter() < end
                yield
            yield
            small = posing.share
            assert small < 1.0  # 64 pixels
            run.loop.most_detail = 0.0
            yield
            assert posing.share < small
            run.loop.most_detail = 1.0
            yield
            assert posing.share == small
            assert run.loop.backend == renderer
            yield from run.ask(renderer="cpu")

    with running(avatars, with_detail) as (run, _):
        run.play(script(run))


def cycles(
    run: Run, avatars: tuple[str, ...], rounds: int, counts: list, count: Callable[[], dict]
) -> Iterator[None]:
    """So often through renderers, avatars and sizes; `count` is taken after each."""
    yield from run.settled()
    for _ in range(rounds):
        for size in ((200, 40), (40, 200), (64, 48), (220, 210), (64, 48)):
            run.screen.size = size
            yield
        for renderer, avatar in (("cpu", 1), ("gl", 1), ("gl", 0), ("cpu", 0), ("gl", 0)):
            yield from run.ask(renderer=renderer)
            yield from run.ask(avatar=avatars[avatar])
            run.screen.size = (100, 60 + 20 * avatar)
            yield
        counts.append(count())


def counted(avatars: tuple[str, ...], rounds: int) -> tuple[list, dict, dict]:
    """Objects on the card after each cycle, before all, and after all."""
    counts: list[dict[str, int]] = []
    with open_context() as context:
        bystander = Bystander(context)

        def count() -> dict[str, int]:
            bystander.draw()
            return living(context)

        before = count()
        run = Run(context, avatars, "gl")
        run.play(cycles(run, avatars, rounds, counts, count))
        run.close()
        after = count()
    context.release()
    return counts, before, after


def test_switching_and_resizing_leave_nothing_on_the_card(avatars):
    counts, before, after = counted(avatars, 2)
    assert counts[0] == counts[1]
    assert counts[0]["Texture"] > before["Texture"]
    assert after == before


@pytest.mark.parametrize("kind", [GlHead, GlRenderer, Canvas, CardOrder])
def test_a_release_that_is_forgotten_is_seen(avatars, monkeypatch, kind):
    monkeypatch.setattr(kind, "release", lambda self: None)
    _, before, after = counted(avatars, 1)
    assert sum(after.values()) > sum(before.values())


@pytest.mark.parametrize("forgotten", [False, True])
def test_another_avatar_leaves_nothing_of_the_last_one(avatars, monkeypatch, forgotten):
    """With the same renderer, which would give back all at its own end."""
    counts = []

    def script(run: Run, context: moderngl.Context) -> Iterator[None]:
        yield from run.settled()
        for _ in range(2):
            yield from run.ask(avatar=avatars[1])
            yield from run.ask(avatar=avatars[0])
            counts.append(living(context))

    if forgotten:
        monkeypatch.setattr(CardPosing, "release", lambda self: None)
    with running(avatars) as (run, context):
        run.play(script(run, context))
    assert (counts[0] == counts[1]) != forgotten


@pytest.mark.parametrize("forgotten", [False, True])
def test_another_renderer_leaves_nothing_of_the_last_one(avatars, monkeypatch, forgotten):
    """While it runs: at its end all are given back, if they are known."""
    counts = []

    def script(run: Run, context: moderngl.Context) -> Iterator[None]:
        yield from run.settled()
        if forgotten:
            monkeypatch.setattr(run.renderers, "give_back", lambda renderer: None)
        for _ in range(2):
            yield from run.ask(renderer="cpu")
            yield from run.ask(renderer="gl")
            counts.append(living(context))
        monkeypatch.undo()

    with running(avatars) as (run, context):
        run.play(script(run, context))
    assert (counts[0] == counts[1]) != forgotten


def test_once_warm_a_frame_makes_nothing_new_on_the_card(avatars, monkeypatch):
    made: list[str] = []

    def watch(kind: type, name: str) -> None:
        original = getattr(kind, name)

        def told(self: Any, *arguments: Any, **named: Any) -> Any:
            size = arguments[0] if arguments else named.get("size", -1)
            if name != "orphan" or size > self.size:
                made.append(name)
            return original(self, *arguments, **named)

        monkeypatch.setattr(kind, name, told)

    def script(run: Run) -> Iterator[None]:
        yield from run.settled()
        for name in ("buffer", "texture", "framebuffer", "vertex_array", "program"):
            watch(moderngl.Context, name)
        watch(moderngl.Context, "compute_shader")
        watch(moderngl.Buffer, "orphan")
        for _ in range(20):
            yield
        assert not made
        run.screen.size = (300, 200)  # larger than before: that is seen
        yield
        yield
        assert "texture" in made

    with running(avatars) as (run, _):
        run.play(script(run))


def test_memory_stays_flat_over_hundreds_of_frames_and_switches(avatars):
    process, taken = psutil.Process(), []

    def script(run: Run) -> Iterator[None]:
        yield from run.settled()
        for index in range(600):
            run.screen.size = ((64, 48), (90, 70), (40, 60))[index // 20 % 3]
            if index % 50 == 0:
                taken.append(process.memory_info().rss / 1e6)
            if index % 150 == 149:
                yield from run.ask(renderer="cpu", avatar=avatars[index // 150 % 2])
                yield from run.ask(renderer="gl")
            yield

    with running(avatars) as (run, _):
        run.play(script(run))
    # The last third against the second: by then all that is kept has been made.
    assert np.median(taken[8:]) - np.median(taken[4:8]) < 12


def test_a_picture_leaves_the_card_only_for_who_wants_it(avatars):
    delivered: list[bytes] = []

    def script(run: Run) -> Iterator[None]:
        yield from run.settled()
        reads = []
        with pytest.MonkeyPatch.context() as patch:
            read = CardPicture.read
            patch.setattr(CardPicture, "read", lambda it: reads.append(it) or read(it))
            for _ in range(5):
                yield
            assert reads == []
            run.outputs.snapshot(Snapshot(alpha=True, deliver=delivered.append))
            yield
            yield
            assert len(reads) == 1
        run.outputs.close()

    with running(avatars) as (run, _):
        run.play(script(run))
    with Image.open(BytesIO(delivered[0])) as image:
        picture = np.asarray(image)
    assert picture.shape[2] == 4
    assert picture[0, 0, 3] == 0
    # A face stands upright in it: more of it in the middle than at the rim, and skin, not blue.
    assert picture[..., 3].mean() > 20
    skin = picture[picture[..., 3] > 200]
    assert skin[:, 0].mean() > skin[:, 2].mean() + 20
