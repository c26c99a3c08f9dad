"""What other programs ask, in the words of the panel; what the panel shows, in the words of others.

The one place where degrees become radians and back for the control interface.
"""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
from msgspec import UNSET

from app import control
from app.control_link import ControlLink, Request
from app.outputs import Outputs, Snapshot
from app.panel import Orbit, PanelView, Wishes
from app.turntable import Turntable
from avatar.motion.direction import EMOTION_NAMES, Direction, emotion_of, no_emotion

ENDINGS = {"mp4": ".mp4", "webm": ".webm", "png": ""}


class Steering:
    """Other programs, as the frame loop sees them. Its thread only."""

    def __init__(self, link: ControlLink) -> None:
        self._link = link
        self._view: PanelView | None = None  # as it was last told

    @property
    def problem(self) -> str:
        """One line for the panel; empty while all is well."""
        return self._link.problem

    def take(self) -> list[Request]:
        """What was asked since the last call; each is to be answered."""
        return self._link.take()

    def answer(self, asked: Request, problem: str) -> None:
        """Tell that it is done (no problem) or why it is not. A picture is told when it is had."""
        if problem or not isinstance(asked.command, control.TakePicture):
            self._link.answer(asked.number, problem)

    def wants_state(self, now_s: float) -> bool:
        """Whether it is time to tell how things stand."""
        return self._link.wants_state(now_s)

    def tell(self, view: PanelView, outputs: Outputs, orbit: Orbit, now_s: float) -> None:
        """How things stand."""
        self._view = view
        self._link.tell(state_of(view, outputs, orbit), now_s)

    def wishes(self, asked: Request, direction: Direction) -> tuple[Wishes, str]:
        """The same in the panel's words, and why it cannot be done, or nothing. `direction`: what
        is asked of the face now."""
        view, command = self._view, asked.command
        match command:
            case control.Controls():
                return _controls(command, direction)
            case control.ChooseAvatar(name):
                known = view.avatars if view is not None else ()
                return Wishes(avatar=name), _unless_known("avatar", name, known)
            case control.ChooseMicrophone(name):
                if view is not None and view.sound_file:
                    return Wishes(), "a sound file plays: there is no microphone to choose."
                known = view.microphones if view is not None else ()
                return Wishes(microphone=name), _unless_known("microphone", name, known)
            case control.PlayAgain():
                plays = view is not None and view.sound_file
                return Wishes(play_again=True), "" if plays else "no sound file plays (--audio)."
            case control.Speak(path):
                return Wishes(speak=Path(path)), ""
            case control.StopSpeaking():
                return Wishes(stop_speaking=True), ""
            case control.StartRecording(kind):
                return Wishes(record=ENDINGS[kind]), ""
            case control.StopRecording():
                return Wishes(stop_recording=True), ""
            case control.SaveSnapshot(alpha):
                return Wishes(snapshot=Snapshot(alpha)), ""
            case control.TakePicture(alpha):
                number, link = asked.number, self._link
                deliver = Snapshot(alpha, lambda picture: link.answer(number, picture=picture))
                return Wishes(snapshot=deliver), ""
            case control.TurnAround(seconds, degrees, kind):
                return Wishes(turntable=Turntable(seconds, degrees), record=ENDINGS[kind]), ""
            case _:
                raise AssertionError(f"a command without a meaning: {command!r}")


def state_of(view: PanelView, outputs: Outputs, orbit: Orbit) -> control.State:
    """The panel's view as it is told to other programs."""
    recording = outputs.recording
    return control.State(
        avatar=view.avatar,
        avatars=list(view.avatars),
        loading=view.loading,
        sound_file=view.sound_file,
        sound_file_ended=view.sound_file_ended,
        microphone=view.microphone,
        microphones=list(view.microphones),
        hearing=view.hearing,
        level=round(min(max(view.level, 0.0), 1.0), 3),
        speech=view.speech,
        speaking=view.speaking,
        controls=_controls_of(view, outputs, orbit),
        fps=_rounded(view.fps),
        frame_ms=_rounded(view.frame_ms),
        sound_to_sight_ms=_rounded(view.sound_to_sight_ms),
        picture=list(view.picture_size),
        backend=view.renderer,
        recording=None
        if recording is None
        else control.Recording(
            file=recording.path.name,
            running=recording.running,
            seconds=round(recording.seconds, 2),
            bytes=recording.size_bytes,
            dropped=recording.dropped,
            problem=recording.problem,
        ),
        saved=outputs.saved_name,
        problems=list(view.problems),
        notes=list(view.notes),
    )


def _controls(command: control.Controls, direction: Direction) -> tuple[Wishes, str]:
    if command.emotion is not UNSET and command.mood is not UNSET:
        return Wishes(), "expected emotion or mood, not both."
    asked = direction
    if command.emotion is not UNSET:
        emotion = no_emotion()
        for name, intensity in command.emotion.items():
            emotion[EMOTION_NAMES.index(name)] = intensity
        asked = replace(asked, emotion=emotion)
    if command.mood is not UNSET:
        asked = replace(asked, emotion=emotion_of(command.mood.valence, command.mood.arousal))
    if command.gaze is not UNSET:
        gaze = command.gaze
        asked = replace(asked, gaze=(math.radians(gaze.yaw), math.radians(gaze.pitch)))
    if command.head is not UNSET:
        head = command.head
        turned = (math.radians(head.yaw), math.radians(head.pitch), math.radians(head.roll))
        asked = replace(asked, head=turned)
    if command.distance is not UNSET:
        asked = replace(asked, distance=command.distance)
    if command.articulation is not UNSET:
        asked = replace(asked, articulation=command.articulation)
    if command.stillness is not UNSET:
        asked = replace(asked, stillness=command.stillness)
    wishes = Wishes(direction=None if asked is direction else asked)
    if command.gain is not UNSET:
        wishes = replace(wishes, gain=command.gain)
    if command.camera is not UNSET:
        camera = command.camera
        place = (math.radians(camera.yaw), math.radians(camera.pitch), camera.distance)
        wishes = replace(wishes, look_from=place)
    if command.backdrop is not UNSET:
        red, green, blue = (byte / 255 for byte in bytes.fromhex(command.backdrop[1:]))
        wishes = replace(wishes, backdrop=(red, green, blue))
    return wishes, ""


def _controls_of(view: PanelView, outputs: Outputs, orbit: Orbit) -> control.Controls:
    direction = view.direction
    felt = zip(EMOTION_NAMES, np.round(direction.emotion.astype(float), 4).tolist(), strict=True)
    yaw, pitch, distance = orbit.place
    return control.Controls(
        emotion={name: weight for name, weight in felt if weight},  # pyright: ignore[reportArgumentType]
        gaze=control.Gaze(*map(_degrees, direction.gaze)),
        head=control.Head(*map(_degrees, direction.head)),
        distance=direction.distance,
        articulation=direction.articulation,
        stillness=direction.stillness,
        gain=view.gain,
        camera=control.Camera(_degrees(yaw), _degrees(pitch), round(distance, 3)),
        backdrop="#" + "".join(f"{round(255 * part):02x}" for part in outputs.backdrop),
    )


def _unless_known(what: str, name: str, known: tuple[str, ...]) -> str:
    if name in known:
        return ""
    return f"{what} {name[:60]!r}: expected one of {', '.join(map(repr, known)) or 'none yet'}."


def _degrees(angle_rad: float) -> float:
    return round(math.degrees(angle_rad), 3)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
