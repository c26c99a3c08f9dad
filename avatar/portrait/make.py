"""One photograph -> one avatar: the stages in order, and what each tells the person waiting."""

import hashlib
from pathlib import Path

import numpy as np

from avatar.errors import PortraitError
from avatar.fit.backends import open_rasteriser
from avatar.fit.device import Device
from avatar.fit.refine import Budget, refine_avatar
from avatar.head.template import load_template
from avatar.portrait.assemble import Progress, assemble
from avatar.portrait.eye_fit import with_eyes_fitted
from avatar.portrait.fit import fit_face
from avatar.portrait.landmarks import FaceFinder, FoundFace, MediapipeFaceFinder, subject
from avatar.portrait.looks import measure
from avatar.portrait.outline import within_outline
from avatar.portrait.person import person_mask
from avatar.portrait.picture import read_picture
from avatar.portrait.sitter import Sitter
from avatar.portrait.warnings import PROVENANCE_KEY, warnings_of, write_warnings
from avatar.types import Avatar, Float, Portrait


def make_avatar(
    portrait_path: Path,
    *,
    name: str,
    budget: Budget = Budget.NORMAL,
    progress: Progress | None = None,
    finder: FaceFinder | None = None,
) -> Avatar:
    """The avatar of the person in `portrait_path`.

    `budget` says how long it is held against the photograph (`avatar.fit.refine`). What
    `first_avatar` gives is complete already, to be saved or shown while that goes on.

    Nothing in the making is random: the same portrait gives the same avatar.

    Raises:
        PortraitError: the picture cannot be read, or shows no usable human face.
    """
    tell = progress or (lambda _stage, _share: None)
    sitter = fit_sitter(portrait_path, tell=part(tell, 0.0, 0.15), finder=finder)
    first = first_avatar(sitter, portrait_path, name=name, tell=part(tell, 0.15, 0.35))
    avatar = refined_avatar(first, sitter, budget, tell=part(tell, 0.35, 1.0))
    tell("done", 1.0)
    return avatar


def fit_sitter(portrait_path: Path, *, tell: Progress, finder: FaceFinder | None = None) -> Sitter:
    """Read the picture, find the face, and fit the head to it.

    Raises:
        PortraitError: the picture cannot be read, or shows no usable human face.
    """
    tell("reading the picture", 0.0)
    image = read_picture(portrait_path)
    tell("finding the face", 0.12)
    if finder is None:
        with MediapipeFaceFinder() as own:
            portrait, face = _look(own, image, portrait_path)
    else:
        portrait, face = _look(finder, image, portrait_path)
    tell("fitting the head", 0.38)
    template = load_template()
    height, width = portrait.image.shape[:2]
    fit = within_outline(template, fit_face(template, face, (width, height)), portrait)
    fit = with_eyes_fitted(template, fit, face, portrait.image)
    return Sitter(portrait=portrait, face=face, fit=fit, template=template)


def first_avatar(sitter: Sitter, portrait_path: Path, *, name: str, tell: Progress) -> Avatar:
    """The avatar as it is assembled, with where it comes from: whole and usable, not refined.

    No time of making is kept: the same portrait gives the same file, to the byte.
    """
    avatar = assemble(sitter, name=printable(name), tell=tell)
    avatar.provenance.update(
        {
            "source": printable(portrait_path.name),
            "source_sha256": _digest(portrait_path),
            "made_by": "visavis make",
            PROVENANCE_KEY: write_warnings(warnings_of(measure(sitter))),
        }
    )
    return avatar


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise PortraitError(
            f"{path}: was there and is gone ({error.strerror or error}). Keep it until the avatar "
            "is made."
        ) from error


def refined_avatar(
    avatar: Avatar,
    sitter: Sitter,
    budget: Budget,
    *,
    device: Device = "cpu",
    tell: Progress,
) -> Avatar:
    """What `first_avatar` gave, made more like the photograph for as long as `budget` allows.

    Raises: DeviceError where `device` does not fit avatars here.
    """
    return refine_avatar(
        avatar,
        sitter.portrait,
        sitter.template,
        budget=budget,
        rasteriser=open_rasteriser(device),
        tell=lambda share: tell("refining against the photograph", share),
    )


def printable(name: str) -> str:
    """A file's name as text: Linux takes any bytes for one, a header and a page do not."""
    text = name.encode("utf-8", "replace").decode("utf-8")
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def part(tell: Progress, begin: float, end: float) -> Progress:
    """What one step of the work calls: its own 0..1 is `begin`..`end` of the whole."""
    return lambda stage, share: tell(stage, begin + (end - begin) * share)


def _look(finder: FaceFinder, image: Float, path: Path) -> tuple[Portrait, FoundFace]:
    """What `finder` sees in the picture; `path` names it in errors."""
    face, people = subject(finder, image, str(path))
    mask = person_mask(finder, image, face)
    return (
        Portrait(
            image=np.ascontiguousarray(image),
            landmarks=face.landmarks,
            person=mask,
            faces_found=people,
        ),
        face,
    )
