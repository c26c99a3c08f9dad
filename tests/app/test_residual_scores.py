"""A film of the bundled avatar teaches it: the whole way from the video to the table."""

import json
from pathlib import Path

import numpy as np
import pytest

from app.__main__ import main
from app.driven import follow_face
from app.film import film
from app.footage import frames_of
from app.reenactment import tracked
from app.residual_scores import COLUMNS, mean_score, score_residuals
from avatar.deform import Deformer
from avatar.fit.residual_fit import Recipe
from avatar.head.template import load_template
from avatar.portrait.camera import CAMERA_DISTANCE_M
from avatar.types import Avatar
from render.camera import orbit_view
from render.choose import open_renderer
from tests.avatar.tracking.heads import weights

COUNT, SIDE = 20, 256


@pytest.fixture(scope="module")
def default() -> Avatar:
    from app.bundled import avatar_path
    from avatar.avatar_file import load_avatar

    return load_avatar(avatar_path("default"))


@pytest.fixture(scope="module")
def movie(default: Avatar, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It opens its mouth; frame 4 shows nobody, frame 9 is smeared."""
    deformer, renderer = Deformer(default), open_renderer("cpu")
    view = orbit_view(
        0, 0, CAMERA_DISTANCE_M, width=SIDE, height=SIDE, field_of_view=np.radians(16.0)
    )
    path = tmp_path_factory.mktemp("films") / "talking.mp4"
    with film(path, width=SIDE, height=SIDE, fps=25.0) as writer:
        for index in range(COUNT):
            jaw = 0.2 + 0.2 * float(np.sin(index / 3))
            posed = deformer.gaussians(expression=weights(jawOpen=jaw))
            picture = renderer.render(posed, [view], (0.4, 0.5, 0.6))[0].copy()
            if index == 4:
                picture[:] = 90
            if index == 9:
                small = picture.reshape(32, 8, 32, 8, 3).mean((1, 3))
                picture = np.repeat(np.repeat(small, 8, 0), 8, 1).astype(np.uint8)
            writer.write(picture)
    return path


def test_frames_that_would_teach_wrong_things_are_left_out_by_reason(default: Avatar, movie: Path):
    followed = follow_face(movie)
    tracking = tracked(default, load_template(), followed)
    frames, left_out = frames_of(movie, followed, tracking, range(14))
    shown = {frame.motion.index for frame in frames}
    assert 4 not in shown
    assert 9 not in shown
    assert left_out["no face"] >= 1
    assert len(frames) + left_out.total() == 14
    assert len(frames) >= 8
    for frame in frames:
        assert frame.person.max() == 255
        assert 0.25 <= frame.confidence <= 1


def test_base_static_part_and_all_of_it_are_compared_on_the_rest(default: Avatar, movie: Path):
    score = score_residuals(
        default,
        movie,
        follow_face(movie),
        0.6,
        Recipe(steps=6),
        open_renderer("cpu"),
        every=4,
    )
    assert score.base.frames == score.static.frames == score.full.frames == 2
    assert score.full.psnr >= score.base.psnr - 0.3
    assert score.base_sides.found == 1
    assert 8 <= score.frames <= 12
    assert len(score.cells()) == len(COLUMNS) - 1
    mean = mean_score([score, score])
    assert mean.full.psnr == pytest.approx(score.full.psnr)
    assert mean.full.frames == 4


@pytest.mark.parametrize(
    "wrong", [["--fit-share", "1.5"], ["--fit-share", ".6", "--steps", "0"], ["--without", "luck"]]
)
def test_what_cannot_be_asked_is_wrong_usage(movie: Path, wrong: list[str]):
    with pytest.raises(SystemExit) as ended:
        raise SystemExit(main(["evaluate", "reenactment", "--video", str(movie), *wrong]))
    assert ended.value.code == 2


def test_the_scores_can_be_written(tmp_path: Path, default: Avatar, movie: Path):
    out = tmp_path / "scores.json"
    arguments = ["--video", movie, "--avatar", "default", "--fit-share", ".6", "--steps", "2"]
    arguments += ["--every", "8", "--json", out, "--without", "face", "consistency"]
    assert main(["evaluate", "reenactment", *map(str, arguments)]) == 0
    figures = json.loads(out.read_text())["talking.mp4"]
    assert {"base", "static", "full", "base_sides", "full_sides"} <= set(figures)
