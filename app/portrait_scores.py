"""One portrait -> one avatar -> how like it is, seen from where it was taken and from elsewhere."""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from app.comparison import as_numbers
from app.photo_view import photo_view
from app.settings import BACKDROP
from avatar.avatar_file import save_avatar
from avatar.deform import Deformer
from avatar.fit.photograph import likeness
from avatar.fit.refine import Budget
from avatar.head.template import HeadTemplate
from avatar.portrait.fit import FaceFit, fit_face
from avatar.portrait.landmarks import MediapipeFaceFinder
from avatar.portrait.make import first_avatar, fit_sitter, part, refined_avatar
from avatar.portrait.sitter import Sitter
from render.camera import FLIP_Y_AND_Z, View, orbit_view
from render.renderer import Renderer

COMPARED_SIDE = 512
"""Pixels of the longer side of the photograph when it is compared."""
VIEWS_DEGREES = ((0, 0), (15, 0), (-15, 0), (30, 0), (-30, 0), (45, 0), (-45, 0), (0, 15), (0, -15))
"""Yaw, pitch of the cameras from which the face must still be one."""
_VIEW_SIDE = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewScore:
    """The avatar at rest, seen by one camera."""

    yaw: float
    pitch: float
    """Degrees of the camera, as `--view` has them."""
    found: bool
    """Whether FaceMesh finds a face there."""
    pose_error: float | None
    """Degrees between the pose fitted to that face and the true one; None where not found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PortraitScore:
    """Of one portrait."""

    portrait: str
    landmark_error: float
    """Of the fit: mean miss of the inner landmarks, as a share of the eye distance."""
    psnr: float
    """dB, as `avatar.fit.photograph.likeness` measures it."""
    ssim: float
    psnr_without_glance: float
    """The same of the avatar as it is seen from further aside."""
    ssim_without_glance: float
    views: tuple[ViewScore, ...]
    seconds: float
    """To make the avatar."""
    megabytes: float
    """Of its file."""

    @property
    def found(self) -> float:
        """Share of the views in which there is a face."""
        return float(np.mean([view.found for view in self.views]))

    @property
    def pose_error(self) -> float:
        """Degrees, mean over the views with a face; nan where none has one."""
        errors = [view.pose_error for view in self.views if view.pose_error is not None]
        return float(np.mean(errors)) if errors else float("nan")


def score_portrait(
    portrait: Path, budget: Budget, renderer: Renderer, pairs: Path | None = None
) -> PortraitScore:
    """Make the avatar and look at it; with `pairs` the photograph beside it is left there.

    Raises:
        PortraitError: no avatar can be made of the picture.
    """
    quiet = part(lambda _stage, _share: None, 0, 1)
    started_s = time.monotonic()
    sitter = fit_sitter(portrait, tell=quiet)
    first = first_avatar(sitter, portrait, name=portrait.stem, tell=quiet)
    avatar = refined_avatar(first, sitter, budget, tell=quiet)
    seconds = time.monotonic() - started_s
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "scored.avatar"
        save_avatar(avatar, file)
        megabytes = file.stat().st_size / 1e6
    wanted, _, view = photograph(sitter)
    deformer = Deformer(avatar)
    as_taken = deformer.gaussians(
        expression=sitter.fit.expression, gaze=sitter.fit.gaze, seen_from=view.position
    )
    drawn = renderer.render(as_taken, [view], BACKDROP.rgb)[0]
    alike = likeness(avatar, sitter.portrait)
    aside = likeness(avatar, sitter.portrait, with_glance=False)
    if pairs is not None:
        both = np.concatenate([np.round(255 * wanted).astype(np.uint8), drawn], 1)[..., ::-1]
        cv2.imwrite(str(pairs / f"{portrait.stem}.png"), both)
    return PortraitScore(
        portrait=portrait.name,
        landmark_error=sitter.fit.landmark_error,
        psnr=alike.psnr,
        ssim=alike.ssim,
        psnr_without_glance=aside.psnr,
        ssim_without_glance=aside.ssim,
        views=tuple(score_views(deformer, sitter.template, renderer)),
        seconds=seconds,
        megabytes=megabytes,
    )


def photograph(sitter: Sitter) -> tuple[NDArray, NDArray, View]:
    """The photograph and its person, at most `COMPARED_SIDE` large, and its camera."""
    image = sitter.portrait.image
    height, width = image.shape[:2]
    scale = min(1.0, COMPARED_SIDE / max(height, width))
    size = max(round(width * scale), 16), max(round(height * scale), 16)
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.float32)
    person = cv2.resize(sitter.portrait.person, size, interpolation=cv2.INTER_AREA)
    return small, np.asarray(person), photo_view(sitter.fit.camera, size, (width, height))


def score_views(deformer: Deformer, template: HeadTemplate, renderer: Renderer) -> list[ViewScore]:
    """The avatar at rest, seen from each of `VIEWS_DEGREES`."""
    scores = []
    with MediapipeFaceFinder() as finder:
        for yaw, pitch in VIEWS_DEGREES:
            view = orbit_view(
                np.radians(yaw), np.radians(pitch), 1.0, width=_VIEW_SIDE, height=_VIEW_SIDE
            )
            picture = as_numbers(
                renderer.render(deformer.gaussians(seen_from=view.position), [view], BACKDROP.rgb)[
                    0
                ]
            )
            faces = finder.faces(picture)
            error = None
            if faces:
                fit = fit_face(template, faces[0], (_VIEW_SIDE, _VIEW_SIDE))
                error = turn_between(fit, view)
            scores.append(ViewScore(yaw=yaw, pitch=pitch, found=bool(faces), pose_error=error))
    return scores


def turn_between(fit: FaceFit, view: View) -> float:
    """Degrees of the rotation from the camera's true pose to the fitted one."""
    true = (FLIP_Y_AND_Z @ view.camera_from_world)[:3, :3]
    cosine = (np.trace(fit.camera.rotation.T @ true) - 1) / 2
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
