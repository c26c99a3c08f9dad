"""Buttons, sticks and poses of both hands, whatever is held in them."""

import ctypes
from typing import Any

from render.headset import Hand
from render.pose import Pose
from render.xr_runtime import xr
from render.xr_space import Room

SIDES = ("left", "right")

_POSES = {"grip": "input/grip/pose", "aim": "input/aim/pose", "tick": "output/haptic"}
_THUMBSTICK = {"stick": "input/thumbstick", "talk": "input/thumbstick/click"}
PROFILES: dict[str, tuple[dict[str, str], dict[str, str], dict[str, str]]] = {
    # What both hands have, then what only the left and only the right have.
    "khr/simple_controller": (
        {**_POSES, "select": "input/select/click", "panel": "input/menu/click"},
        {},
        {},
    ),
    "oculus/touch_controller": (
        {
            **_POSES,
            **_THUMBSTICK,
            "select": "input/trigger/value",
            "squeeze": "input/squeeze/value",
        },
        {"panel": "input/x/click", "recenter": "input/y/click"},
        {"panel": "input/a/click", "recenter": "input/b/click"},
    ),
    "valve/index_controller": (
        {
            **_POSES,
            **_THUMBSTICK,
            "select": "input/trigger/value",
            "squeeze": "input/squeeze/value",
            "panel": "input/a/click",
            "recenter": "input/b/click",
        },
        {},
        {},
    ),
    # A Vive wand has one button beside trigger and grip; its pad is stick and button.
    "htc/vive_controller": (
        {
            **_POSES,
            "stick": "input/trackpad",
            "select": "input/trigger/value",
            "squeeze": "input/squeeze/click",
            "panel": "input/menu/click",
        },
        {"recenter": "input/trackpad/click"},
        {"talk": "input/trackpad/click"},
    ),
    "microsoft/motion_controller": (
        {
            **_POSES,
            **_THUMBSTICK,
            "select": "input/trigger/value",
            "squeeze": "input/squeeze/click",
            "panel": "input/menu/click",
            "recenter": "input/trackpad/click",
        },
        {},
        {},
    ),
}
"""Interaction profile -> action -> path below the hand."""
HAND_PROFILE = "ext/hand_interaction_ext"
HAND_BINDINGS = {
    "grip": "input/grip/pose",
    "aim": "input/aim/pose",
    "select": "input/pinch_ext/value",
}
"""Of bare hands by XR_EXT_hand_interaction."""
EYES_PROFILE = "ext/eye_gaze_interaction"
GAZE_PATH = "/user/eyes_ext/input/gaze_ext/pose"
"""Of XR_EXT_eye_gaze_interaction."""
KINDS = {
    "grip": xr.ActionType.POSE_INPUT,
    "aim": xr.ActionType.POSE_INPUT,
    "tick": xr.ActionType.VIBRATION_OUTPUT,
    "select": xr.ActionType.FLOAT_INPUT,
    "squeeze": xr.ActionType.FLOAT_INPUT,
    "stick": xr.ActionType.VECTOR2F_INPUT,
    "panel": xr.ActionType.BOOLEAN_INPUT,
    "recenter": xr.ActionType.BOOLEAN_INPUT,
    "talk": xr.ActionType.BOOLEAN_INPUT,
}
NAMES = {
    "grip": "Hand",
    "aim": "Pointer",
    "tick": "Haptic tick",
    "select": "Point and click",
    "squeeze": "Grab",
    "stick": "Turn, and nearer or further",
    "panel": "Panel",
    "recenter": "Bring the avatar here",
    "talk": "Push to talk",
}
"""As a runtime's own list of bindings shows them."""


class Actions:
    """One action set for both hands."""

    def __init__(
        self, instance: Any, session: Any, *, has_hand_profile: bool, has_gaze: bool
    ) -> None:
        self._instance, self._session = instance, session
        self._set = xr.create_action_set(
            instance, xr.ActionSetCreateInfo("conversation", "Conversation", 0)
        )
        self._hands = (xr.Path * 2)(
            *(xr.string_to_path(instance, f"/user/hand/{side}") for side in SIDES)
        )
        self._actions = {name: self._action(name) for name in KINDS}
        for profile, (both, left, right) in PROFILES.items():
            self._suggest(profile, (both | left, both | right))
        if has_hand_profile:
            self._suggest(HAND_PROFILE, (HAND_BINDINGS, HAND_BINDINGS))
        gaze = self._gaze_action() if has_gaze else None
        xr.attach_session_action_sets(
            session, xr.SessionActionSetsAttachInfo(action_sets=[self._set])
        )
        self._spaces = {
            (name, side): xr.create_action_space(
                session,
                xr.ActionSpaceCreateInfo(action=self._actions[name], subaction_path=hand),
            )
            for name in ("grip", "aim")
            for side, hand in enumerate(self._hands)
        }
        self._gaze: Any = None
        if gaze is not None:
            info = xr.ActionSpaceCreateInfo(action=gaze, subaction_path=xr.NULL_PATH)
            self._gaze = xr.create_action_space(session, info)
        self._bare = [False, False]

    def profile_changed(self) -> None:
        """Another kind of controller was taken up, or put down for bare hands."""
        for side, hand in enumerate(self._hands):
            path = xr.get_current_interaction_profile(self._session, hand).interaction_profile
            name = xr.path_to_string(self._instance, path) if path else ""
            self._bare[side] = name.endswith(HAND_PROFILE)

    def read(self, room: Room, display_time: int) -> tuple[Hand, Hand]:
        """Both hands now, their poses as they will be when the picture is seen; the session must
        be in focus."""
        active = (xr.ActiveActionSet * 1)(xr.ActiveActionSet(self._set, xr.NULL_PATH))
        try:
            xr.sync_actions(
                self._session,
                xr.ActionsSyncInfo(count_active_action_sets=1, active_action_sets=active),
            )
        except xr.SessionNotFocused:  # lost since the last event
            return Hand(), Hand()
        left, right = (self._hand(side, room, display_time) for side in range(2))
        return left, right

    def gaze(self, room: Room, display_time: int) -> Pose | None:
        """Where the wearer looks from, and along its -z; of the last `read`. None where nobody
        knows."""
        return None if self._gaze is None else room.locate(self._gaze, display_time)

    def tick(self, side: int, strength: float) -> None:
        """A short pulse in one hand, 0..1."""
        vibration = xr.HapticVibration(
            duration=xr.MIN_HAPTIC_DURATION, frequency=0.0, amplitude=strength
        )
        header = ctypes.cast(ctypes.pointer(vibration), ctypes.POINTER(xr.HapticBaseHeader))
        info = xr.HapticActionInfo(self._actions["tick"], self._hands[side])
        xr.apply_haptic_feedback(self._session, info, header.contents)

    def release(self) -> None:
        for space in (*self._spaces.values(), self._gaze):
            if space is not None:
                xr.destroy_space(space)
        xr.destroy_action_set(self._set)  # and its actions

    def _action(self, name: str) -> Any:
        return xr.create_action(
            self._set,
            xr.ActionCreateInfo(
                action_name=name,
                localized_action_name=NAMES[name],
                action_type=KINDS[name],
                count_subaction_paths=2,
                subaction_paths=self._hands,
            ),
        )

    def _gaze_action(self) -> Any:
        action = xr.create_action(
            self._set,
            xr.ActionCreateInfo(
                action_name="gaze",
                localized_action_name="Where I look",
                action_type=xr.ActionType.POSE_INPUT,
            ),
        )
        self._propose(EYES_PROFILE, [(action, GAZE_PATH)])
        return action

    def _suggest(self, profile: str, of_sides: tuple[dict[str, str], dict[str, str]]) -> None:
        self._propose(
            profile,
            [
                (self._actions[name], f"/user/hand/{side}/{path}")
                for side, paths in zip(SIDES, of_sides, strict=True)
                for name, path in paths.items()
            ],
        )

    def _propose(self, profile: str, paths: list[tuple[Any, str]]) -> None:
        bindings = [
            xr.ActionSuggestedBinding(action, xr.string_to_path(self._instance, path))
            for action, path in paths
        ]
        array = (xr.ActionSuggestedBinding * len(bindings))(*bindings)
        xr.suggest_interaction_profile_bindings(
            self._instance,
            xr.InteractionProfileSuggestedBinding(
                interaction_profile=xr.string_to_path(
                    self._instance, f"/interaction_profiles/{profile}"
                ),
                count_suggested_bindings=len(bindings),
                suggested_bindings=array,
            ),
        )

    def _hand(self, side: int, room: Room, display_time: int) -> Hand:
        grip = room.locate(self._spaces["grip", side], display_time)
        aim = room.locate(self._spaces["aim", side], display_time)
        if grip is None or aim is None:
            return Hand()
        return Hand(
            is_tracked=True,
            is_bare=self._bare[side],
            grip=grip,
            aim=aim,
            select=self._float("select", side),
            squeeze=self._float("squeeze", side),
            stick=self._stick(side),
            panel=self._pressed("panel", side),
            recenter=self._pressed("recenter", side),
            talk=self._pressed("talk", side),
        )

    def _state(self, name: str, side: int) -> Any:
        return xr.ActionStateGetInfo(self._actions[name], self._hands[side])

    def _float(self, name: str, side: int) -> float:
        state = xr.get_action_state_float(self._session, self._state(name, side))
        return float(state.current_state) if state.is_active else 0.0

    def _pressed(self, name: str, side: int) -> bool:
        state = xr.get_action_state_boolean(self._session, self._state(name, side))
        return bool(state.is_active and state.current_state)

    def _stick(self, side: int) -> tuple[float, float]:
        state = xr.get_action_state_vector2f(self._session, self._state("stick", side))
        if not state.is_active:
            return 0.0, 0.0
        return float(state.current_state.x), float(state.current_state.y)
