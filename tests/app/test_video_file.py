"""Videos come as upright pictures at their own times; everything else as one clear line."""

import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from app.driven import follow_face
from app.video_file import examine_video, read_pictures
from avatar.errors import VideoError


def write_video(
    path: Path,
    times_ms: list[int],
    *,
    size: tuple[int, int] = (64, 48),
    aspect: Fraction | None = None,
) -> Path:
    """Frame i is grey of 40 + i * 10, its left half darker, shown from `times_ms[i]` on."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "libx264", rate=25, width=size[0], height=size[1], pix_fmt="yuv420p"
        )
        stream.codec_context.time_base = Fraction(1, 1000)
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        for index, time_ms in enumerate(times_ms):
            picture = np.full((size[1], size[0], 3), 40 + 10 * index, np.uint8)
            picture[:, : size[0] // 2] -= 30
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = time_ms, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_pictures_come_at_their_own_times(tmp_path: Path):
    times = [0, 40, 80, 230, 270, 700]
    path = write_video(tmp_path / "uneven.mp4", times)
    pictures = list(read_pictures(path))
    np.testing.assert_allclose([p.time_s for p in pictures], np.array(times) / 1000, atol=2e-3)
    assert [abs(int(p.pixels[24, 60, 0]) - (40 + 10 * i)) < 6 for i, p in enumerate(pictures)]
    facts = examine_video(path)
    assert (facts.width, facts.height, facts.has_sound) == (64, 48, False)


def test_pixels_that_are_not_square_become_so(tmp_path: Path):
    path = write_video(tmp_path / "wide.mp4", [0, 40], aspect=Fraction(3, 2))
    assert (examine_video(path).width, examine_video(path).height) == (96, 48)
    assert next(read_pictures(path)).pixels.shape == (48, 96, 3)


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_a_turned_telephone_gives_upright_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, turn: int
):
    """`VideoFrame.rotation` is what the display matrix says, counter-clockwise."""
    path = write_video(tmp_path / "turned.mp4", [0, 40])

    class Turned:
        def __init__(self, frame: av.VideoFrame) -> None:
            self._frame = frame
            self.rotation = turn

        def __getattr__(self, name: str) -> object:
            return getattr(self._frame, name)

    from app import video_file

    plain = next(read_pictures(path)).pixels
    decoded = video_file._decoded
    monkeypatch.setattr(video_file, "_decoded", lambda *a: map(Turned, decoded(*a)))
    turned = next(read_pictures(path)).pixels
    np.testing.assert_array_equal(turned, np.rot90(plain, turn // 90))


def test_what_is_no_video_is_refused_in_one_line(tmp_path: Path):
    text = tmp_path / "text.mp4"
    text.write_text("not a video")
    empty = tmp_path / "empty.mp4"
    empty.touch()
    sound = tmp_path / "sound.wav"
    with wave.open(str(sound), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(bytes(3200))
    cut = tmp_path / "cut.mp4"
    whole = write_video(tmp_path / "whole.mp4", list(range(0, 400, 40))).read_bytes()
    cut.write_bytes(whole[: len(whole) // 3])
    picture = tmp_path / "picture.png"
    import cv2

    cv2.imwrite(str(picture), np.zeros((64, 64, 3), np.uint8))
    cases = {
        tmp_path / "none.mp4": "no such file",
        tmp_path: "a folder",
        text: "not a video",
        empty: "not a video",
        cut: "not a video",
        sound: "only sound",
        picture: "one picture",
    }
    for path, said in cases.items():
        with pytest.raises(VideoError, match=said) as raised:
            examine_video(path)
        assert "\n" not in str(raised.value)


def test_a_video_without_a_face_is_refused(tmp_path: Path):
    path = write_video(tmp_path / "grey.mp4", [0, 40, 80], size=(160, 120))
    with pytest.raises(VideoError, match="no face found in 3 of 3 frames"):
        follow_face(path)
