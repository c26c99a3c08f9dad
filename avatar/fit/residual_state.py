"""A fit that was broken off goes on: what was learned so far, in one file beside the avatar."""

import hashlib
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from avatar.errors import OutputError
from avatar.fit.teacher import TeacherFrame
from avatar.types import Avatar

if TYPE_CHECKING:
    from avatar.fit.residual_fit import Recipe

Arrays = dict[str, NDArray[Any]]
"""By name; float32, or int32."""
_FINGERPRINT = "fit"
_LEARNED_AS = 2
"""Counts up when what was learned so far means something else: other features, another order."""


def fingerprint(avatar: Avatar, frames: Sequence[TeacherFrame], recipe: "Recipe") -> str:
    """What tells one fit from another: its avatar, its frames and how it learns."""
    digest = hashlib.sha256(repr((_LEARNED_AS, astuple(recipe))).encode())
    for values in (avatar.vertices, avatar.bound_position, avatar.colour, avatar.opacity):
        digest.update(np.ascontiguousarray(values).tobytes())
    for frame in frames:
        digest.update(frame.picture[::16, ::16].tobytes())
        digest.update(frame.motion.expression.tobytes())
        digest.update(frame.lens.pose.tobytes())
    return digest.hexdigest()


def read_state(path: Path | None, of: str) -> Arrays | None:
    """What was kept of the fit with this fingerprint; None where there is nothing of it."""
    if path is None or not path.is_file():
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            if (file.metadata() or {}).get(_FINGERPRINT) != of:
                return None
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError):
        return None
    kinds = (np.float32, np.int32)
    good = all(v.dtype in kinds and np.isfinite(v).all() for v in state.values())
    return state if good else None


def write_state(path: Path, state: Arrays, of: str) -> None:
    """Beside it, then renamed.

    Raises:
        OutputError: the disk is full, or the folder is gone.
    """
    beside = path.with_name(f".{path.name}.part")
    try:
        save_file(state, beside, {_FINGERPRINT: of})
        beside.replace(path)
    except (OSError, SafetensorError) as error:
        raise OutputError(f"{path}: cannot be written ({error}). Free some space.") from error
    finally:
        beside.unlink(missing_ok=True)
