"""Files of trained weights that ship with the program: safetensors with a line of JSON about them.

Never pickle: a file of weights is data from outside like any other.
"""

import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from avatar.errors import AssetError
from avatar.types import Float


def shipped_file(name: str, made_by: str) -> bytes:
    """The bytes of `name`, "folder/file" within assets/; `made_by` is the command that makes it.

    Raises:
        AssetError: it is missing.
    """
    folder, file = name.split("/")
    try:
        return (resources.files("assets") / folder / file).read_bytes()
    except OSError as error:
        raise AssetError(
            f"assets/{name}: the weights are missing. "
            f"Install the program again, or make them with: {made_by}"
        ) from error


def parse_weights(
    contents: bytes, name: str, version: int
) -> tuple[dict[str, Float], Mapping[str, Any]]:
    """Every tensor as float32, and the metadata, of the bytes of a file.

    Raises:
        AssetError: the bytes are damaged, or of another version than `version`; in one line that
            begins with `name`.
    """
    try:
        header = json.loads(contents[8 : 8 + int.from_bytes(contents[:8], "little")])
        metadata = json.loads(header["__metadata__"]["visavis"])
        found = metadata.get("format")
        tensors = {key: value.astype(np.float32) for key, value in load(contents).items()}
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(name, error) from error
    if found != version:
        raise AssetError(
            f"{name}: format {found}, this build reads {version}. Install the program again"
        )
    return tensors, metadata


def damaged(name: str, why: object) -> AssetError:
    """What to raise for a file that cannot be what its name says."""
    return AssetError(
        f"{name}: not a file of weights for this build, or damaged ({why}). "
        "Install the program again"
    )
