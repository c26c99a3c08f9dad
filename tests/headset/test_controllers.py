"""Other controllers than the Index: their buttons, pressed.

Monado's remote control has the Index' kind. Where a program knows only Touch or the simple
controller, Monado lets it take them for one. Its keyboard ("qwerty") is a pair of Windows Mixed
Reality controllers; the keys are pressed in a window. A Vive wand can be had in neither way: its
bindings are accepted, and that is all.
"""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from app.commands.live import load_scene
from app.frame_loop import Scene
from render import xr_actions
from render.headset import Hand
from render.xr_runtime import Runtime, xr
from tests.headset.monado import Service, monado_here
from tests.headset.worn import PATIENCE_S, Worn, worn

pytestmark = pytest.mark.monado
TOUCH, SIMPLE, MIXED = (
    *("oculus/touch_controller", "khr/simple_controller"),
    "microsoft/motion_controller",
)


@pytest.fixture(scope="module")
def scene(small_avatar_file: Path) -> Scene:
    return load_scene(str(small_avatar_file), None)


def profiles_of(headset: Worn) -> list[str]:
    """What the runtime says is in both hands."""
    assert headset.side.headset is not None
    actions = headset.side.headset._actions
    held = [
        xr.get_current_interaction_profile(actions._session, hand).interaction_profile
        for hand in actions._hands
    ]
    names = [xr.path_to_string(actions._instance, path) if path else "" for path in held]
    return [name.removeprefix("/interaction_profiles/") for name in names]


def pressed(hand: Hand) -> set[str]:
    """What is not at rest."""
    names = ("select", "squeeze", "stick", "panel", "recenter", "talk")
    return {name for name in names if getattr(hand, name) not in (0.0, False, (0.0, 0.0))}


@pytest.mark.parametrize("profile", [TOUCH, SIMPLE])
def test_buttons_of_touch_and_of_the_simple_controller(
    scene, service, remote, monkeypatch, profile
):
    monkeypatch.setattr(xr_actions, "PROFILES", {profile: xr_actions.PROFILES[profile]})
    remote.left.trigger = 1.0
    remote.right.squeeze, remote.right.stick = 1.0, (0.5, -1.0)
    remote.left.pressed, remote.right.pressed = {"b_click"}, {"a_click", "thumbstick_click"}
    remote.send()
    with worn(scene, service) as headset:
        headset.settled()
        assert profiles_of(headset) == [profile, profile]
        left, right = headset.side.hands
    if profile == TOUCH:
        assert pressed(left) == {"select", "recenter"}
        assert pressed(right) == {"squeeze", "stick", "panel", "talk"}
        assert right.stick == pytest.approx((0.5, -1.0))
    else:  # Monado lays the simple controller's only other button, the menu, on one of the two
        assert "select" in pressed(left)
        assert {"panel"} in (pressed(left) - {"select"}, pressed(right))
    assert left.grip.position == pytest.approx((-0.2, 1.3, -0.3), abs=0.01)


@contextmanager
def keyboard_service() -> Iterator[tuple[Service, dict[str, str]]]:
    """Monado with its keyboard for controllers, and what leads to its window."""
    folder = Path(tempfile.mkdtemp(prefix="xr"))
    running = Service(monado_here(), folder)
    try:
        running.start(
            P_OVERRIDE_ACTIVE_CONFIG="none",
            QWERTY_ENABLE="1",
            QWERTY_COMBINE="0",
            XRT_DEBUG_GUI="1",
            SDL_VIDEODRIVER="x11",
        )
        own = {**os.environ, "LD_LIBRARY_PATH": ""}
        end, found = time.monotonic() + PATIENCE_S, ""
        while not found:
            assert time.monotonic() < end, running.log.read_text(errors="replace")
            time.sleep(0.1)
            search = ["xdotool", "search", "--name", "Monado"]
            found = subprocess.run(search, env=own, capture_output=True, text=True).stdout.strip()
        subprocess.run(["xdotool", "windowfocus", found.split()[-1]], env=own, check=True)
        yield running, own
    finally:
        running.kill()
        shutil.rmtree(folder, ignore_errors=True)


def test_buttons_of_windows_mixed_reality_controllers(scene, display):
    def tool(*arguments: str) -> None:
        subprocess.run(["xdotool", *arguments], env=own, check=True)

    felt: dict[str, Any] = {}
    with keyboard_service() as (running, own), worn(scene, running) as headset:
        tool("mousemove", "400", "300")
        headset.turns(2)
        assert profiles_of(headset) == [MIXED, MIXED]
        for kind, key, name in (
            *(("key", "n", "panel"), ("key", "v", "talk"), ("key", "t", "stick")),
            *(("mouse", "1", "select"), ("mouse", "2", "squeeze")),
        ):
            tool(f"{kind}down", key)
            headset.until(lambda: pressed(headset.side.hands[1]) != set(), name)
            felt[name] = pressed(headset.side.hands[1])
            tool(f"{kind}up", key)
            headset.until(lambda: pressed(headset.side.hands[1]) == set(), f"letting go of {name}")
    assert felt == {name: {name} for name in ("panel", "talk", "stick", "select", "squeeze")}


def test_every_profile_is_accepted_and_one_with_a_wrong_path_would_not_be(
    scene, service, remote, monkeypatch
):
    """With eye gaze as well, which this runtime knows without having eyes to track."""
    suggested = []
    suggest, properties = xr.suggest_interaction_profile_bindings, Runtime.properties

    def noted(instance, bindings):
        suggest(instance, bindings)
        suggested.append(xr.path_to_string(instance, bindings.interaction_profile))

    def with_gaze(runtime, told):
        told = properties(runtime, told)
        if isinstance(told, xr.SystemEyeGazeInteractionPropertiesEXT):
            told.supports_eye_gaze_interaction = 1
        return told

    monkeypatch.setattr(xr, "suggest_interaction_profile_bindings", noted)
    monkeypatch.setattr(Runtime, "properties", with_gaze)
    with worn(scene, service) as headset:
        turned = headset.turns(2).turn
        assert headset.side.extras.eye_gaze
        assert headset.side.headset is not None
        assert headset.side.headset.gaze(turned) is None  # where it looks is not known
    wanted = [
        *xr_actions.PROFILES,
        *(xr_actions.HAND_PROFILE, xr_actions.EYES_PROFILE),
    ]
    assert suggested == [f"/interaction_profiles/{name}" for name in wanted]
    wrong = ({"panel": "input/x/click"}, {}, {})  # a Vive wand has no such button
    monkeypatch.setattr(xr_actions, "PROFILES", {"htc/vive_controller": wrong})
    with worn(scene, service) as headset:
        headset.until(lambda: headset.side.lost != "", "the refusal")
        assert "PathUnsupported" in headset.side.lost
