"""What both eyes see and what hands do, by a real OpenXR runtime."""

import json
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from app.attention import Attention
from app.eye_quality import eye_parts
from app.frame_loop import Scene
from app.headset import EyesSeen
from app.headset_switches import HeadsetSwitches
from app.mirror_view import MirrorShows
from app.posing import CardPosing, neutral_motion
from avatar.deform import Deformer
from avatar.motion.direction import EMOTION_NAMES
from avatar.types import Gaussians
from render.gl import GlRenderer
from render.headset import Extras
from render.pose import Pose
from tests.headset.monado import Remote
from tests.headset.track import landmarks
from tests.headset.worn import Worn, aim_at, avatar_centre, toggle_panel, worn

pytestmark = pytest.mark.monado


class OneSplat:
    """Poses nothing: a small white ball between the avatar's eyes."""

    def __init__(self, place: tuple[float, float, float]) -> None:
        self._splat = Gaussians(
            means=np.array([place], np.float32),
            rotations=np.array([[1, 0, 0, 0]], np.float32),
            scales=np.full((1, 3), 0.006, np.float32),
            opacities=np.ones(1, np.float32),
            colours=np.ones((1, 3), np.float32),
        )

    def gaussians(self, motion: object, *, seen_from: object) -> Gaussians:
        return self._splat


def splat_pixel(picture: np.ndarray) -> np.ndarray:
    """[2] x, y of the ball's middle, pixels, to a small part of one."""
    light = np.maximum(picture.astype(float).min(axis=2) - 80, 0)
    rows, columns = np.mgrid[: picture.shape[0], : picture.shape[1]] + 0.5
    return np.array([(columns * light).sum(), (rows * light).sum()]) / light.sum()


FINE = 4.0
"""Times as fine as the simulated headset's own eyes: near a real one's."""


def test_the_tracker_finds_the_face_in_what_both_eyes_see(sessions, remote):
    remote.hands_away()
    seen = sessions.of(FINE).turns(2)
    faces = landmarks(seen.pictures)
    assert [len(found) for found in faces] == [1, 1]
    left, right = (found[0] for found in faces)
    views = [
        eye.view(picture.shape[1], picture.shape[0])
        for eye, picture in zip(seen.eyes, seen.pictures, strict=True)
    ]
    # Between the inner corners of its eyes, where the avatar's origin is, near enough.
    expected = [view.project(np.array(seen.placement.position))[0] for view in views]
    bridge = [face[[133, 362], 0].mean() for face in (left, right)]
    assert bridge[0] - bridge[1] == pytest.approx(expected[0] - expected[1], abs=3)
    assert bridge == pytest.approx(expected, abs=8)


@pytest.mark.parametrize("place", [(0.0, 0.0, 0.0), (0.15, -0.1, 0.05)])
def test_a_landmark_lies_where_the_eyes_poses_say_to_half_a_pixel(sessions, remote, place):
    remote.hands_away()
    headset = sessions.of(FINE)
    headset.scene = Scene("ball", OneSplat(place), headset.scene.renderer)
    remote.position, remote.yaw, remote.pitch = (0.12, 1.5, 0.1), 0.25, -0.1
    remote.send()
    seen = headset.settled()
    found, wanted = [], []
    for eye, picture in zip(seen.eyes, seen.pictures, strict=True):
        point = (seen.placement.room_from_avatar() @ [*place, 1.0])[:3]
        wanted.append(eye.view(picture.shape[1], picture.shape[0]).project(point)[:2])
        found.append(splat_pixel(picture))
    assert np.abs(np.array(found) - wanted).max() < 0.5
    disparity, right = found[0] - found[1], wanted[0] - wanted[1]
    assert np.abs(disparity - right).max() < 0.5
    assert disparity[0] > 15


def test_what_a_card_poses_and_draws_is_what_the_eyes_see(headset, remote):
    remote.hands_away()
    whole = headset.scene
    assert isinstance(whole.deformer, Deformer)
    headset.motion = neutral_motion()
    expected = headset.turns(4)
    with GlRenderer(context=headset.context) as renderer:
        assert renderer.poses, "Mesa's OpenGL has compute shaders"
        posing = CardPosing(whole.deformer, renderer)
        headset.scene = Scene("default", posing, renderer)
        seen = headset.turns(2)
        beside = mirrored(headset, MirrorShows.THIRD)
        posing.release()
    for ours, theirs in zip(seen.pictures, expected.pictures, strict=True):
        assert avatar_centre(ours) == pytest.approx(avatar_centre(theirs), abs=2)
        # Its head follows the wearer meanwhile, so not the same picture, but the same face.
        assert np.abs(ours.astype(int) - theirs).mean() < 2
        assert ours.max() > 150
    avatar_centre(beside[:, WINDOW[0] // 2 :])


WINDOW = (400, 360)


def mirrored(headset: Worn, shows: MirrorShows) -> np.ndarray:
    """[H, W, 3] what the window has of the headset."""
    headset.side.switches = replace(headset.side.switches, mirror=shows)
    headset.mirrors = WINDOW
    headset.turns(2)
    texture = headset.side.mirror
    assert texture is not None
    assert texture.size == WINDOW
    pixels = np.frombuffer(texture.read(), np.uint8).reshape(WINDOW[1], WINDOW[0], 4)
    return pixels[::-1, :, :3]


def test_the_window_shows_either_eye_or_both_who_talk(headset, remote):
    remote.hands_away()
    left, right = (
        avatar_centre(mirrored(headset, shows)) for shows in (MirrorShows.LEFT, MirrorShows.RIGHT)
    )
    # 63 mm at 1 m, in 360 pixels of 62 degrees.
    assert left[0] - right[0] == pytest.approx(0.063 * WINDOW[1] / 2 / math.tan(0.541), abs=4)
    assert left[1] == pytest.approx(right[1], abs=2)
    alone = mirrored(headset, MirrorShows.THIRD)
    avatar, wearer = alone[:, WINDOW[0] // 2 :], alone[:, : WINDOW[0] // 2]
    assert abs(avatar_centre(avatar)[1] - avatar_centre(wearer)[1]) < 60  # both at eye height
    remote.right.active = True
    remote.send()
    headset.settled()
    both = mirrored(headset, MirrorShows.THIRD)
    hand = np.abs(both.astype(int) - alone).max(axis=2)[:, : WINDOW[0] // 2] > 30
    assert hand.sum() > 40
    assert np.nonzero(hand)[0].mean() > avatar_centre(wearer)[1]  # below the head


def test_what_this_headset_has_not_is_absent_without_fuss(headset, remote, caplog):
    """Monado shows no room of the wearer's, knows of eye gaze but has no eyes to track, and sees no
    face: asked for all the same, nothing changes."""
    remote.hands_away()
    before = headset.turns(2)
    assert headset.side.extras == Extras()
    headset.side.switches = HeadsetSwitches(passthrough=True, own_face=True)
    after = headset.turns(3)
    for one, other in zip(before.pictures, after.pictures, strict=True):
        assert np.median(other) == pytest.approx(np.median(one), abs=1)
        assert np.median(other) > 10  # the dark room is there
    assert headset.side.problem == ""
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


def test_a_wearer_who_looks_aside_gets_a_coarser_avatar_and_one_who_looks_at_it_is_met(
    headset, remote, monkeypatch
):
    """The look is made: no eyes are tracked here."""
    remote.hands_away()
    scales, met = [], []
    parts, followed = eye_parts, Attention.followed
    monkeypatch.setattr(
        "app.headset.eye_parts", lambda *given: (scales.append(given[2]), parts(*given))[1]
    )
    monkeypatch.setattr(
        Attention,
        "followed",
        lambda *given, is_met: (met.append(is_met), followed(*given, is_met=is_met))[1],
    )
    assert headset.side.headset is not None
    for yaw in (0.0, 0.7):
        look = Pose.turned((0.0, 1.6, 0.0), yaw)
        monkeypatch.setattr(headset.side.headset, "gaze", lambda turn, look=look: look)
        headset.turns(10)
        if not yaw:
            assert scales[-1] == 1.0
            assert met[-1]
            assert not met[0]
    assert 0.5 <= scales[-1] < 0.9
    assert not met[-1]


@pytest.mark.parametrize(
    ("move", "goes"),
    [
        (lambda remote: setattr(remote, "position", (0.2, 1.6, 0.0)), (-1, 0)),
        (lambda remote: setattr(remote, "position", (0.0, 1.8, 0.0)), (0, 1)),
        (lambda remote: setattr(remote, "yaw", 0.3), (1, 0)),
        (lambda remote: setattr(remote, "pitch", 0.2), (0, 1)),
    ],
    ids=["to the right", "up", "turned left", "raised"],
)
def test_the_picture_moves_against_the_head(headset, remote, move, goes):
    remote.hands_away()
    before = avatar_centre(headset.turns(3).pictures[0])
    move(remote)
    remote.send()
    after = avatar_centre(headset.turns(5).pictures[0])
    moved = after - before
    for way, shift in zip(goes, moved, strict=True):
        if way:
            assert way * shift > 20
        else:
            assert abs(shift) < 12


def test_it_looks_at_the_wearer(headset, remote):
    headset.turns(3)
    remote.position = (0.5, 1.6, 0.0)  # to the wearer's right: the avatar's left is +x too
    remote.send()
    seen = headset.turns(25)
    turn = seen.motion.head_rotation[1]
    assert math.radians(5) < turn < math.radians(40)
    # Head and eyes together meet the wearer, but for looks aside.
    assert turn + seen.motion.gaze[0] == pytest.approx(math.atan2(0.5, 1.0), abs=0.3)


def settled(headset: Worn, remote: Remote, change: Callable[[], None] | None = None) -> EyesSeen:
    """After a change of the remote's has been felt."""
    if change is not None:
        change()
    remote.send()
    return headset.settled()


def test_a_hand_grabs_the_avatar_and_moves_it(headset, remote):
    start = settled(headset, remote).placement
    remote.right.squeeze = 1.0
    settled(headset, remote)
    remote.right.position = (0.35, 1.4, -0.2)
    moved = settled(headset, remote).placement
    remote.right.squeeze = 0.0
    settled(headset, remote)
    remote.right.position = (0.0, 1.0, -0.4)
    after = settled(headset, remote).placement
    shift = np.array(moved.position) - start.position
    assert shift == pytest.approx((0.15, 0.1, 0.1), abs=0.01)
    assert after == moved  # let go, it stays
    assert moved.scale == start.scale


def test_two_hands_scale_it_within_limits_and_a_long_press_makes_it_life_size(headset, remote):
    settled(headset, remote)
    remote.left.squeeze = remote.right.squeeze = 1.0
    settled(headset, remote)
    remote.left.position, remote.right.position = (-0.3, 1.3, -0.3), (0.3, 1.3, -0.3)
    larger = settled(headset, remote).placement
    remote.left.position, remote.right.position = (-0.9, 1.3, -0.3), (0.9, 1.3, -0.3)
    largest = settled(headset, remote).placement
    remote.left.squeeze = remote.right.squeeze = 0.0
    settled(headset, remote)
    remote.right.pressed = {"b_click"}
    recentred = settled(headset, remote).placement
    headset.until(lambda: placed(headset).scale == 1.0, "life-size")
    assert larger.scale == pytest.approx(1.5, abs=0.02)
    assert largest.scale == 2.0
    assert recentred.position == pytest.approx((0.0, 1.6, -1.0), abs=0.01)


def placed(headset: Worn):
    assert headset.side.placement is not None
    return headset.side.placement


def test_bare_hands_are_tracked_where_there_are_no_controllers(headset, remote):
    remote.hands_away()
    remote.right.hand_tracking = True
    remote.right.position = (0.2, 1.4, -0.4)
    settled(headset, remote)
    left, right = headset.side.hands
    open_hand = right.select
    remote.right.curl = 1.0
    settled(headset, remote)
    closed = headset.side.hands[1].select
    assert not left.is_tracked
    assert right.is_tracked
    assert right.is_bare
    assert right.grip.position == pytest.approx((0.2, 1.4, -0.4), abs=0.15)
    assert open_hand < 0.3 < closed


def test_a_stick_turns_it_and_brings_it_nearer(headset, remote):
    start = settled(headset, remote).placement
    remote.right.stick = (0.0, -1.0)
    near = settled(headset, remote).placement
    remote.right.stick = (1.0, 0.0)
    turned = settled(headset, remote).placement
    assert -0.9 < near.position[2] - start.position[2] - 0.0 < 0.9
    assert near.position[2] > start.position[2] + 0.05
    assert near.yaw_rad == start.yaw_rad
    assert turned.yaw_rad > near.yaw_rad + 0.1


def test_a_button_brings_it_before_the_wearer(headset, remote):
    settled(headset, remote)
    remote.position, remote.yaw = (0.5, 1.2, 0.5), math.pi / 2  # looks along -x
    settled(headset, remote)
    remote.left.pressed = {"b_click"}
    seen = settled(headset, remote)
    assert seen.placement.position == pytest.approx((-0.5, 1.2, 0.5), abs=0.01)
    assert seen.placement.yaw_rad == pytest.approx(math.pi / 2, abs=0.01)


def test_the_panel_is_shown_pointed_at_and_changes_the_mood(headset, remote):
    asked = []
    settled(headset, remote)
    toggle_panel(headset, remote)
    aim_at(headset, remote, (0.88, 0.46))  # in the plane of moods: far right is happiness
    remote.right.trigger = 1.0
    remote.send()

    for _ in range(40):
        shown = headset.turn()
        if shown is not None and shown.wishes.direction is not None:
            asked.append(shown.wishes.direction.emotion)
            break
    assert placed(headset).position == pytest.approx((0.0, 1.6, -1.0), abs=0.01)  # not grabbed
    assert asked
    happiness = asked[-1][EMOTION_NAMES.index("happiness")]
    assert happiness > 0.3  # the plane blends moods; elsewhere in it there is none of it


def test_where_there_is_no_layer_for_the_panel_both_eyes_have_it_in_their_pictures(headset, remote):
    settled(headset, remote)
    toggle_panel(headset, remote)
    remote.hands_away()
    layered = settled(headset, remote)
    headset.side.panel_in_eyes = True
    drawn = settled(headset, remote)
    assert layered.panel is not None
    for eye, before, after in zip(drawn.eyes, layered.pictures, drawn.pictures, strict=True):
        changed = np.abs(after.astype(int) - before).max(axis=2) > 8
        rows, columns = np.nonzero(changed)
        view = eye.view(after.shape[1], after.shape[0])
        x, y = view.project(layered.panel.point((0.5, 0.5)))[:2]
        assert columns.mean() == pytest.approx(x, abs=25)
        assert rows.mean() == pytest.approx(y, abs=25)


def test_push_to_talk_is_told_while_it_is_held(headset, remote):
    talked = []
    settled(headset, remote)
    for pressed in ({"thumbstick_click"}, set()):
        remote.left.pressed = pressed
        settled(headset, remote)
        shown = headset.turn()
        assert shown is not None
        talked.append(shown.talking)
    assert talked == [True, False]


def test_both_eyes_have_seen_the_avatar_for_three_hundred_frames(headset, remote):
    """Those of the tests before count; in the last ones the head moves."""
    widths: list[float] = []
    remote.hands_away()
    while len(widths) < 60 or headset.side.timing.frames < 300:
        frame = len(widths)
        if frame % 5 == 0:
            remote.position = (0.1 * math.sin(frame / 10), 1.6, 0.0)
            remote.yaw = 0.15 * math.sin(frame / 15)
            remote.send()
        seen = headset.turns(1)
        left, right = (avatar_centre(picture) for picture in seen.pictures)
        widths.append(left[0] - right[0])
    assert headset.side.timing.sessions == 1
    # The right eye sees it further left: 63 mm at 1 m in 320 pixels of 85 degrees is 11 pixels.
    assert min(widths) > 7
    assert max(widths) < 15


def test_the_panel_is_carried_by_a_grip_and_comes_back_into_sight(headset, remote):
    settled(headset, remote)
    toggle_panel(headset, remote)
    aim_at(headset, remote, (0.5, 0.5))
    before = headset.side.panel_place
    remote.right.squeeze = 1.0
    settled(headset, remote)
    remote.right.yaw -= 0.4
    remote.right.position = (0.3, 1.3, -0.35)
    settled(headset, remote)
    remote.right.squeeze = 0.0
    settled(headset, remote)
    hung = headset.side.panel_place
    remote.right.yaw += 0.5
    settled(headset, remote)
    assert before is not None
    assert hung is not None
    assert hung.pose.position[0] > before.pose.position[0] + 0.15
    assert headset.side.panel_place == hung  # let go, it stays
    assert placed(headset).position == pytest.approx((0.0, 1.6, -1.0), abs=0.01)  # not grabbed
    remote.right.active = False  # its ray lies across the panel
    remote.send()
    for yaw in (0.0, 2.5):
        remote.yaw = yaw
        settled(headset, remote)
        toggle_panel(headset, remote)
        assert headset.side.panel_place is None
        toggle_panel(headset, remote)
        shown = headset.side.panel_place
        assert shown is not None
        assert (shown == hung) == (yaw == 0.0)
        assert shown.is_in_sight(Pose.turned(remote.position, yaw))


def test_where_things_were_put_is_remembered(scene, sessions, service, remote, tmp_path):
    sessions.end()
    file = tmp_path / "settings" / "placement.json"
    with worn(scene, service, file) as headset:
        settled(headset, remote)
        remote.right.squeeze = 1.0
        settled(headset, remote)
        remote.right.position = (0.3, 1.2, -0.3)
        settled(headset, remote)
        remote.right.squeeze = 0.0
        settled(headset, remote)
        toggle_panel(headset, remote)
        aim_at(headset, remote, (0.5, 0.5))
        remote.right.squeeze = 1.0
        settled(headset, remote)
        remote.right.yaw -= 0.3
        settled(headset, remote)
        remote.right.squeeze = 0.0
        settled(headset, remote)
        hung = headset.side.panel_place
    kept = json.loads(file.read_text())
    assert kept["avatar"]["right_m"] == pytest.approx(0.1, abs=0.01)
    assert list(file.parent.iterdir()) == [file]
    with worn(scene, service, file) as headset:
        again = headset.turns(3).placement
        toggle_panel(headset, remote)
        panel = headset.side.panel_place
    assert again.position == pytest.approx((0.1, 1.5, -1.0), abs=0.01)
    assert hung is not None
    assert panel is not None
    assert panel.pose.position == pytest.approx(hung.pose.position, abs=0.01)
