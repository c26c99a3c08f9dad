"""A film of the bundled avatar teaches it: the whole way from the video to the table."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from app.__main__ import main
from app.ablation import ablate, ablation_table
from app.driven import FollowedFace, follow_face
from app.film import film
from app.footage import frames_of
from app.reenactment import Reenactment, tracked
from app.residual_scores import COLUMNS, ResidualScore, Sides, mean_score
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
    """It opens its mouth; frame 4 shows nobody. `smeared.mp4` beside it is the same, frame 9
    blurred."""
    deformer, renderer = Deformer(default), open_renderer("cpu")
    view = orbit_view(
        0, 0, CAMERA_DISTANCE_M, width=SIDE, height=SIDE, field_of_view=np.radians(16.0)
    )
    path = tmp_path_factory.mktemp("films") / "talking.mp4"
    size = {"width": SIDE, "height": SIDE, "fps": 25.0}
    with film(path, **size) as writer, film(path.with_name("smeared.mp4"), **size) as smeared:
        for index in range(COUNT):
            jaw = 0.2 + 0.2 * float(np.sin(index / 3))
            posed = deformer.gaussians(expression=weights(jawOpen=jaw))
            picture = renderer.render(posed, [view], (0.4, 0.5, 0.6))[0].copy()
            if index == 4:
                picture[:] = 90
            writer.write(picture)
            smeared.write(cv2.GaussianBlur(picture, (0, 0), 3) if index == 9 else picture)
    return path


@pytest.fixture(scope="module")
def followed(movie: Path) -> FollowedFace:
    return follow_face(movie)


def test_frames_that_would_teach_wrong_things_are_left_out_by_reason(
    default: Avatar, movie: Path, followed: FollowedFace
):
    # Followed sharp: what FaceMesh makes of a blur would be another reason, now and then.
    tracking = tracked(default, load_template(), followed)
    blurred = movie.with_name("smeared.mp4")
    frames, left_out = frames_of(blurred, followed, tracking, range(14))
    shown = {frame.motion.index for frame in frames}
    assert 4 not in shown
    assert 9 not in shown
    assert left_out["no face"] >= 1
    assert left_out["blurred"] == 1
    assert len(frames) + left_out.total() == 14
    assert len(frames) >= 8
    for frame in frames:
        assert frame.person.max() == 255
        assert 0.25 <= frame.confidence <= 1


@pytest.mark.parametrize("wrong", [["--fit-share", "1.5"], ["--fit-share", ".6", "--steps", "0"]])
def test_what_cannot_be_asked_is_wrong_usage(movie: Path, wrong: list[str]):
    with pytest.raises(SystemExit) as ended:
        raise SystemExit(main(["evaluate", "reenactment", "--video", str(movie), *wrong]))
    assert ended.value.code == 2


@pytest.mark.parametrize("wrong", [["--terms", "luck"], ["--fit-share", "0"], ["--steps", "0"]])
def test_what_cannot_be_ablated_is_wrong_usage(movie: Path, wrong: list[str]):
    with pytest.raises(SystemExit) as ended:
        raise SystemExit(main(["evaluate", "ablation", "--video", str(movie), *wrong]))
    assert ended.value.code == 2


def test_base_static_part_and_all_of_it_are_compared_on_the_rest(tmp_path: Path, movie: Path):
    out = tmp_path / "scores.json"
    arguments = ["--video", movie, "--avatar", "default", "--fit-share", ".6", "--steps", "4"]
    arguments += ["--every", "4", "--json", out]
    assert main(["evaluate", "reenactment", *map(str, arguments)]) == 0
    figures = json.loads(out.read_text())["talking.mp4"]
    models = [figures[name] for name in ("base", "static", "full")]
    assert [model["frames"] for model in models] == [2, 2, 2]
    assert figures["full"]["psnr"] >= figures["base"]["psnr"] - 0.3
    assert figures["base_sides"]["found"] == 1
    assert 8 <= figures["frames"] <= 12
    assert figures["base"]["sharpness"] > 0.3


def reenactment(psnr: float) -> Reenactment:
    return Reenactment(
        psnr=psnr, ssim=0.8, sharpness=0.9, landmark_error=0.01, frames=2, lost=0, face_in_drawn=1
    )


def test_a_mean_over_films_counts_each_once_and_sums_their_frames():
    sides = Sides(found=1, pose_error=2)
    scores = [
        ResidualScore(
            base=reenactment(psnr), static=reenactment(psnr + 1), full=reenactment(psnr + 2),
            base_sides=sides, full_sides=sides, frames=10, steps=6, told="",
        )
        for psnr in (20.0, 24.0)
    ]  # fmt: skip
    mean = mean_score(scores)
    assert len(mean.cells()) == len(COLUMNS) - 1
    assert mean.full.psnr == pytest.approx(24)
    assert mean.full.sharpness == pytest.approx(0.9)
    assert mean.full.frames == 4


def test_an_ablation_tells_each_term_from_the_full_model(
    default: Avatar, movie: Path, followed: FollowedFace
):
    terms, recipe = ["texture", "adversary"], Recipe(steps=2)
    trials = ablate(default, movie, followed, 0.6, recipe, terms, open_renderer("cpu"), every=4)
    assert list(trials) == ["as it came", "full", "without texture", "with patch adversary"]
    table = ablation_table({"one": trials, "other": trials}, "title", "note")
    rows = {row[0]: row[1:] for row in table.rows}
    full, other = trials["full"].seen, trials["without texture"].seen
    assert rows["**full**"][0] == f"{full.psnr:.2f}"
    assert rows["without texture"][0] == f"{other.psnr - full.psnr:+.2f}"
    assert float(rows["as it came"][3]) == pytest.approx(
        trials["as it came"].seen.sharpness, abs=1e-3
    )
