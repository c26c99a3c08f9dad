"""The webcam's process with a stand-in device: a film that plays in real time. A real camera has
not been tried here."""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from skimage import data
from skimage.transform import AffineTransform, warp

from app.webcam import Webcam, WebcamState, camera_name
from avatar.errors import DeviceError

PATIENCE_S = 90.0


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A face that is still for two seconds, then goes to the right of the picture, then none."""
    path = tmp_path_factory.mktemp("films") / "stand-in.avi"
    image = np.asarray(data.astronaut())[:320, 60:400]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25.0, (340, 320))
    for frame in range(125):
        shift = 14 * min(max(frame - 50, 0) / 15, 1.0)
        shown = warp(image, AffineTransform(translation=(-shift, 0)), mode="edge")
        shown = np.full_like(shown, 0.5) if frame >= 95 else shown
        writer.write(cv2.cvtColor((255 * shown).astype(np.uint8), cv2.COLOR_RGB2BGR))
    writer.release()
    return path


def wait_for(webcam: Webcam, what: Callable[[], Any]) -> Any:
    end = time.perf_counter() + PATIENCE_S
    while not (found := what()):
        report = webcam.report(time.perf_counter())
        assert time.perf_counter() < end, report
        assert not report.problem, report
        time.sleep(0.02)
    return found


def state(webcam: Webcam) -> WebcamState:
    return webcam.report(time.perf_counter()).state


def leaned(webcam: Webcam, seconds: float = 4.0) -> np.ndarray:
    """[n] how far the head was to the avatar's left, while it was followed."""
    wait_for(webcam, lambda: state(webcam) is WebcamState.FOLLOWING)
    parts, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end:
        records = webcam.read_motion()
        parts.append(records["head_translation"][:, 0])
        assert (np.diff(records["heard_s"]) > 0).all()
        time.sleep(0.02)
    return np.concatenate(parts)


@pytest.mark.parametrize(("mirrored", "way"), [(True, -1.0), (False, 1.0)])
def test_a_face_moves_the_avatar_as_in_a_mirror_or_as_the_person_does(film, mirrored, way):
    """To the right of the camera's picture is to the person's left: there goes an avatar that does
    as they do (+x); a mirror goes the other way."""
    webcam = Webcam(str(film), mirrored=mirrored)
    try:
        assert webcam.mirrored == mirrored
        moved = leaned(webcam)
    finally:
        webcam.close()
    assert (way * moved).max() > 0.01
    assert (way * moved).min() > -0.01


def test_a_lost_face_is_told_and_taken_up_again_when_it_is_back(film):
    webcam = Webcam(str(film))
    try:
        wait_for(webcam, lambda: state(webcam) is WebcamState.FOLLOWING)
        preview = webcam.preview()
        assert preview.shape == (90, 160, 3)
        assert np.ptp(preview) > 100
        wait_for(webcam, lambda: state(webcam) is WebcamState.LOST)
        assert "lost" in webcam.report(time.perf_counter()).words
        wait_for(webcam, lambda: state(webcam) is WebcamState.FOLLOWING)  # the film begins again
        webcam.mirror(False)
        wait_for(webcam, lambda: state(webcam) is WebcamState.LOOKING)  # another rest is found
        wait_for(webcam, lambda: state(webcam) is WebcamState.FOLLOWING)
        webcam.rest_anew()
        wait_for(webcam, lambda: state(webcam) is WebcamState.LOOKING)
    finally:
        webcam.close()


def test_a_camera_that_is_not_there_is_told_in_one_line():
    with pytest.raises(DeviceError, match="no/such"):
        Webcam("no/such/device")
    assert camera_name("2") == 2
    webcam = Webcam("93")
    try:
        end = time.perf_counter() + PATIENCE_S
        while not (problem := webcam.report(time.perf_counter()).problem):
            assert time.perf_counter() < end
            time.sleep(0.05)
    finally:
        webcam.close()
    assert "no camera 93" in problem
    assert len(problem.splitlines()) == 1


def test_a_file_that_is_no_camera_is_told(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("words")
    webcam = Webcam(str(path))
    try:
        end = time.perf_counter() + PATIENCE_S
        while not (problem := webcam.report(time.perf_counter()).problem):
            assert time.perf_counter() < end
            time.sleep(0.05)
    finally:
        webcam.close()
    assert "cannot be opened" in problem


@pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")
def test_a_crash_of_the_cameras_process_is_told(film):
    webcam = Webcam(str(film))
    try:
        assert webcam.process_id is not None
        os.kill(webcam.process_id, signal.SIGKILL)
        end = time.perf_counter() + 20.0
        while not (problem := webcam.report(time.perf_counter()).problem):
            assert time.perf_counter() < end
            time.sleep(0.05)
        assert "status -9" in problem
    finally:
        webcam.close()
