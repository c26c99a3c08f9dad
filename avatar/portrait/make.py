"""One photograph -> one avatar: the stages in order, and what each tells the person waiting."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from avatar.head.template import load_template
from avatar.portrait.assemble import Progress, assemble
from avatar.portrait.fit import fit_face
from avatar.portrait.landmarks import FaceFinder, FoundFace, MediapipeFaceFinder, subject
from avatar.portrait.person import person_mask
from avatar.portrait.picture import read_picture
from avatar.portrait.sitter import Sitter
from avatar.types import Avatar, Float, Portrait


def make_avatar(
    portrait_path: Path,
    *,
    name: str,
    progress: Progress | None = None,
    finder: FaceFinder | None = None,
) -> Avatar:
    """The avatar of the person in `portrait_path`.

    Nothing in the making is random: the same portrait gives the same avatar.

    Raises:
        PortraitError: the picture cannot be read, or shows no usable human face.
    """
    tell = progress or (lambda _stage, _share: None)
    tell("reading the picture", 0.0)
    image = read_picture(portrait_path)
    tell("finding the face", 0.05)
    if finder is None:
        with MediapipeFaceFinder() as own:
            portrait, face = _look(own, image, portrait_path)
    else:
        portrait, face = _look(finder, image, portrait_path)
    tell("fitting the head", 0.15)
    template = load_template()
    height, width = portrait.image.shape[:2]
    fit = fit_face(template, face, (width, height))
    sitter = Sitter(portrait=portrait, face=face, fit=fit, template=template)
    avatar = assemble(sitter, name=name, tell=lambda stage, share: tell(stage, 0.4 + 0.6 * share))
    notes = []
    if portrait.faces_found > 1:
        notes.append(f"{portrait.faces_found} faces in the picture: the largest was taken")
    avatar.provenance.update(
        {
            "source": portrait_path.name,
            "source_sha256": hashlib.sha256(portrait_path.read_bytes()).hexdigest(),
            "made_by": "visavis make",
            "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "notes": "; ".join(notes),
        }
    )
    tell("done", 1.0)
    return avatar


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
