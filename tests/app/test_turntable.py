"""`visavis turntable` as a person starts it."""

import math

import av
import numpy as np
import pytest

from app.__main__ import main
from app.face_sampler import FaceSampler
from app.settings import BACKDROP, TurntableSettings
from avatar.avatar_file import load_avatar
from avatar.deform import Deformer
from render.camera import orbit_view
from render.choose import open_renderer
from tests.app.test_microphone import speechlike, write_wav
from tests.app.test_recording import pictures_of


def test_the_film_goes_all_around_and_ends_where_it_began(small_avatar_file, tmp_path, capsys):
    path = tmp_path / "around.mp4"
    status = main(
        [
            *("turntable", "--avatar", str(small_avatar_file), "-o", str(path), "--seconds", "2"),
            *("--size", "128", "--fps", "20", "--backend", "cpu"),
        ]
    )
    assert status == 0
    assert capsys.readouterr().out.strip() == str(path)
    times, shown = pictures_of(path)
    assert len(times) == 40
    renderer, deformer = open_renderer("cpu"), Deformer(load_avatar(small_avatar_file))
    rest = FaceSampler()
    expected = []
    for number in range(40):
        motion = rest.sample(number / 20).motion
        view = orbit_view(math.tau * number / 40, 0.0, 1.0, width=128, height=128)
        gaussians = deformer.gaussians(motion, seen_from=view.position)
        expected.append(renderer.render(gaussians, [view], BACKDROP.rgb)[0].astype(int))
    for number in (0, 10, 20, 30, 39):  # each is the picture of its own place, and of no other
        off = [np.abs(shown[number][..., :3] - other).mean() for other in expected]
        assert int(np.argmin(off)) == number


def test_with_a_sound_it_is_as_long_and_has_it(small_avatar_file, tmp_path):
    wav, path = write_wav(tmp_path / "s.wav", speechlike(1.5)), tmp_path / "swing.mp4"
    status = main(
        [
            *("turntable", "--avatar", str(small_avatar_file), "--audio", str(wav)),
            *("-o", str(path), "--degrees", "30", "--size", "64", "--backend", "cpu"),
        ]
    )
    assert status == 0
    with av.open(str(path)) as container:
        assert container.duration == pytest.approx(1.5e6, abs=0.1e6)
        assert container.streams.audio


@pytest.mark.parametrize("words", [["--seconds", "0.1"], ["--degrees", "0"], ["--degrees", "400"]])
def test_what_no_camera_can_do_is_wrong_usage(words, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["turntable", "-o", "x.mp4", *words])
    assert ended.value.code == 2
    assert "expected" in capsys.readouterr().err


def test_it_turns_all_around_unless_told_otherwise(tmp_path):
    settings = TurntableSettings(output=tmp_path / "x.mp4")
    assert (settings.seconds, settings.degrees) == (8.0, 360.0)
