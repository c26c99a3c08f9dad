"""FaceMesh on the drawn avatar sees lips that move, and a film without a face is refused."""

from pathlib import Path

import numpy as np
import pytest

from app.bundled import avatar_path
from app.film import film
from app.seen_face import DRAWN_FPS, face_as_drawn, face_in_film
from avatar.avatar_file import load_avatar
from avatar.deform import Deformer
from avatar.errors import VideoError
from avatar.training.grid import lips_of
from avatar.types import ARKIT_NAMES, MotionFrame
from render.choose import open_renderer


def test_an_open_mouth_is_seen_where_the_motion_opens_it() -> None:
    def face(index: int) -> MotionFrame:
        expression = np.zeros(52, np.float32)
        expression[ARKIT_NAMES.index("jawOpen")] = 0.5 if index >= 12 else 0.0
        still = np.zeros(3, np.float32)
        return MotionFrame(
            index=index,
            time_s=(index + 0.5) / 50,
            latent=np.zeros(0, np.float32),
            expression=expression,
            gaze=still[:2],
            head_rotation=still,
            head_translation=still,
        )

    deformer = Deformer(load_avatar(avatar_path("default")))
    frames = [face(index) for index in range(24)]
    seen = face_as_drawn(frames, deformer, open_renderer(), "drawing")
    assert seen.fps == DRAWN_FPS
    assert seen.found == 1
    opening = lips_of(seen.landmarks)[:, 0]
    assert len(opening) == 12
    assert opening[8:].min() > opening[:6].max() + 0.05


def test_a_film_without_a_face_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "grey.mp4"
    with film(path, width=64, height=64, fps=25) as writer:
        for _ in range(4):
            writer.write(np.full((64, 64, 3), 120, np.uint8))
    with pytest.raises(VideoError, match="a face in 0 % of the frames"):
        face_in_film(path)
    (tmp_path / "words.mp4").write_text("words")
    with pytest.raises(VideoError, match="not a video"):
        face_in_film(tmp_path / "words.mp4")
