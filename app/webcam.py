"""A person before a camera moves the avatar: capture and tracking in a process of its own.

`Webcam` is the frame loop's end, `run_webcam` what runs there. The tracker is that of `--drive`,
in its causal form. OpenCV opens a film's file as it opens a device: a film that plays in real time,
over and over, stands in for a camera where there is none.
"""

import logging
import multiprocessing
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.motion_channel import MotionChannel, SharedRecord
from avatar.errors import DeviceError, VisavisError

log = logging.getLogger(__name__)

PREVIEW = (90, 160)
"""Height and width of the small picture for the panel."""
FIRST_LOOKS = 12
"""Frames with a face, from which the person's own face and rest are found."""
LOST_S = 0.7
"""Without a face for so long it is told as lost."""
SIDE_PX = 640
"""The longer side of what is tracked; larger pictures are shrunk."""
REOPEN_S = 1.0
PATIENCE_S = 20.0
"""A process that gives no sign for so long is ended: drivers hang."""


class WebcamState(IntEnum):
    """What the webcam's process is doing."""

    STARTING = 0
    LOOKING = 1
    """The camera gives pictures; no face has been found yet."""
    FOLLOWING = 2
    LOST = 3
    """A face was there and is not any more."""


STATUS = np.dtype(
    [
        # Written by the frame loop:
        ("stop", np.int64),
        ("mirrored", np.int64),
        ("rest_anew", np.int64),
        # Written by the webcam's process:
        ("sign_of_life_s", np.float64),
        ("state", np.int64),
        ("fps", np.float64),
        ("delay_s", np.float64),
        ("frames", np.int64),
        ("preview", np.uint8, (*PREVIEW, 3)),
        ("preview_change", np.int64),  # raised after the preview was written
        ("problem", "S400"),
    ],
    align=True,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebcamReport:
    """How things stand, as the panel shows it."""

    state: WebcamState
    fps: float
    delay_s: float
    """From a picture's arrival until its motion is sent."""
    frames: int
    preview_change: int
    problem: str

    @property
    def words(self) -> str:
        """One line on the face."""
        return {
            WebcamState.STARTING: "opening the camera",
            WebcamState.LOOKING: "no face found yet: look into the camera, in light",
            WebcamState.FOLLOWING: "your face is followed",
            WebcamState.LOST: "the face is lost; the avatar rests until it is back",
        }[self.state]


def camera_name(device: str) -> int | str:
    """A number is the number of a camera, anything else a path.

    Raises:
        DeviceError: a path that does not exist.
    """
    if device.isdecimal():
        return int(device)
    if not Path(device).exists():
        raise DeviceError(
            f"camera {device!r}: expected a number (0 is the first camera) or a device's path."
        )
    return device


class Webcam:
    """The frame loop's end."""

    def __init__(self, device: str, *, mirrored: bool = True) -> None:
        """Starts the process and returns at once. `device`: as `camera_name` takes.

        Raises:
            DeviceError: as `camera_name`.
        """
        self.device = device
        self._channel = MotionChannel()
        self._status = SharedRecord(STATUS)
        self._status["mirrored"] = int(mirrored)
        context = multiprocessing.get_context("spawn")
        arguments = (camera_name(device), self._channel.name, self._status.name)
        self._process: SpawnProcess | None = context.Process(
            target=run_webcam, args=arguments, name="visavis-webcam", daemon=True
        )
        self._process.start()

    @property
    def process_id(self) -> int | None:
        return None if self._process is None else self._process.pid

    @property
    def mirrored(self) -> bool:
        """Whether the avatar is a mirror: your left is on its right."""
        return bool(self._status["mirrored"])

    def mirror(self, mirrored: bool) -> None:
        self._status["mirrored"] = int(mirrored)

    def rest_anew(self) -> None:
        """How the face is held now counts as its rest."""
        self._status["rest_anew"] += 1

    def read_motion(self) -> NDArray[np.void]:
        """Motion records that are new since the last call, oldest first."""
        return self._channel.read_new()

    def preview(self) -> NDArray[np.uint8]:
        """[90, 160, 3] what the camera sees, with the face marked where it is found."""
        return self._status["preview"]

    def report(self, now_s: float) -> WebcamReport:
        """How things stand."""
        status, process = self._status, self._process
        problem = status.text("problem")
        if process is not None and not process.is_alive():
            problem = problem or f"the camera's process ended with status {process.exitcode}."
        elif status["sign_of_life_s"] and now_s - status["sign_of_life_s"] > PATIENCE_S:
            problem = "the camera does not answer; switch it off and on again."
        return WebcamReport(
            state=WebcamState(status["state"]),
            fps=status["fps"],
            delay_s=status["delay_s"],
            frames=status["frames"],
            preview_change=status["preview_change"],
            problem=problem,
        )

    def close(self) -> None:
        """End the process and let the camera go."""
        if self._process is None:
            return
        self._status["stop"] = 1
        self._process.join(2.0)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._process.close()
        self._process = None
        self._channel.close(unlink=True)
        self._status.close(unlink=True)


def run_webcam(device: int | str, channel_name: str, status_name: str) -> None:
    """The webcam's process: pictures in, motion out, until told to stop or the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel = MotionChannel(channel_name)
    status = SharedRecord(STATUS, status_name)
    try:
        _follow(device, channel, status)
    except VisavisError as error:
        status.set_text("problem", str(error))
        sys.exit(1)
    except Exception as error:  # the outermost loop of a worker: tell, and end
        traceback.print_exc()
        status.set_text("problem", f"camera: {type(error).__name__}: {error}")
        sys.exit(1)
    finally:
        channel.close(unlink=False)
        status.close(unlink=False)


def _follow(device: int | str, channel: MotionChannel, status: SharedRecord) -> None:
    from avatar.portrait.landmarks import MediapipeFaceFollower

    with MediapipeFaceFollower() as follower:
        tracked = _Tracked(channel, status)
        for picture, arrived_s in _pictures(device, status):
            mirrored = bool(status["mirrored"])
            if mirrored:
                picture = np.ascontiguousarray(picture[:, ::-1])
            face = follower.follow(picture)
            landmarks = None if face is None else face.landmarks
            tracked.step(face, picture.shape[:2], arrived_s, mirrored)
            _show(status, picture, landmarks)
            status["delay_s"] = time.perf_counter() - arrived_s


class _Tracked:
    """The tracker and what it needs before it can begin."""

    def __init__(self, channel: MotionChannel, status: SharedRecord) -> None:
        self._channel, self._status = channel, status
        self._began_s = time.perf_counter()
        self._seen_s = 0.0
        self._written_s = 0.0
        self._begin_anew(mirrored=bool(status["mirrored"]))

    def _begin_anew(self, *, mirrored: bool) -> None:
        self._tracker: Any = None
        self._first: list[Any] = []
        self._mirrored = mirrored
        self._rest_anew = self._status["rest_anew"]

    def step(self, face: Any, size: tuple[int, int], arrived_s: float, mirrored: bool) -> None:
        """One frame; `face` is None where none was found, `size` height and width."""
        status = self._status
        if mirrored != self._mirrored or status["rest_anew"] != self._rest_anew:
            self._begin_anew(mirrored=mirrored)
        if face is not None:
            self._seen_s = arrived_s
        if self._tracker is None:
            if face is not None:
                self._first.append(face)
            if len(self._first) >= FIRST_LOOKS:
                self._tracker = _tracker_of(self._first, (size[1], size[0]))
            lost = self._seen_s > 0 and face is None
            status["state"] = WebcamState.LOST if lost else WebcamState.LOOKING
            return
        landmarks = None if face is None else face.landmarks
        frame = self._tracker.step(landmarks, arrived_s - self._began_s)
        lost = arrived_s - self._seen_s > LOST_S
        status["state"] = WebcamState.LOST if lost else WebcamState.FOLLOWING
        # Times rise, whatever the clock of the device does.
        self._written_s = max(arrived_s, self._written_s + 1e-3)
        self._channel.write(frame, self._written_s)


def _tracker_of(faces: list[Any], size: tuple[int, int]) -> Any:
    from avatar.head.template import load_template
    from avatar.tracking.calibrate import find_person
    from avatar.tracking.tracker import LiveTracker

    person = find_person(load_template(), faces, size)
    return LiveTracker(person.model, person.lens)


def _pictures(device: int | str, status: SharedRecord) -> Iterator[tuple[NDArray[np.uint8], float]]:
    """[H, W, 3] sRGB and when it arrived; from a film's file at its own pace.

    Raises:
        DeviceError: the camera does not open at first.
    """
    import cv2

    # What does not open is told below, in one line.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    parent = multiprocessing.parent_process()
    first = True
    while not status["stop"]:
        capture = cv2.VideoCapture(device)
        if not capture.isOpened():
            capture.release()
            if first:
                raise DeviceError(_missing(device))
            status.set_text("problem", "the camera is gone; looking for it.")
            time.sleep(REOPEN_S)
            status["sign_of_life_s"] = time.perf_counter()
            continue
        first = False
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        is_film = isinstance(device, str) and Path(device).is_file()
        step_s = 1.0 / (capture.get(cv2.CAP_PROP_FPS) or 25.0) if is_film else 0.0
        began_s, count = time.perf_counter(), 0
        before_s = began_s
        while not status["stop"]:
            grabbed, picture = capture.read()
            if not grabbed or picture is None:
                break
            count += 1
            due_s = began_s + count * step_s
            now_s = time.perf_counter()
            if is_film and now_s < due_s:
                time.sleep(due_s - now_s)
            elif is_film and now_s > due_s + step_s:
                continue  # as a camera: what nobody took in time is gone
            arrived_s = time.perf_counter()
            status["sign_of_life_s"] = arrived_s
            status["frames"] += 1
            rate = 1.0 / max(arrived_s - before_s, 1e-3)
            status["fps"] = rate if not status["fps"] else 0.9 * status["fps"] + 0.1 * rate
            before_s = arrived_s
            status.set_text("problem", "")
            height, width = picture.shape[:2]
            shrink = SIDE_PX / max(height, width)
            if shrink < 1.0:
                picture = cv2.resize(
                    picture, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA
                )
            yield np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8), arrived_s
            if parent is not None and not parent.is_alive():
                capture.release()
                return
        capture.release()
        if not is_film and not status["stop"]:
            status.set_text("problem", "the camera gives no more pictures; looking for it.")
            time.sleep(REOPEN_S)


def _missing(device: int | str) -> str:
    if isinstance(device, int):
        return (
            f"no camera {device} found, or another program has it. Connect one or close that "
            "program; live --webcam N takes another number."
        )
    return f"{device}: cannot be opened as a camera. Name a camera's number or a device's path."


def _show(status: SharedRecord, picture: NDArray[np.uint8], landmarks: NDArray[Any] | None) -> None:
    """The small picture, the face's outline in it, the right way for a mirror."""
    import cv2

    height, width = PREVIEW
    scale = min(height / picture.shape[0], width / picture.shape[1])
    size = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    left, top = (width - size[0]) // 2, (height - size[1]) // 2
    shown = np.full((height, width, 3), 24, np.uint8)
    shown[top : top + size[1], left : left + size[0]] = small
    if landmarks is not None:
        at = np.rint(landmarks[:468:6, :2] * scale).astype(int) + np.array([left, top])
        inside = (at >= 0).all(axis=1) & (at < (width, height)).all(axis=1)
        shown[at[inside, 1], at[inside, 0]] = (120, 220, 140)
    status["preview"] = shown
    status["preview_change"] += 1
