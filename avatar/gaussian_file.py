"""Gaussians that stand still, as the `.ply` of 3D Gaussian splatting: to and from other programs.

The layout is the one that INRIA's code writes (github.com/graphdeco-inria/gaussian-splatting,
`scene/gaussian_model.py`, `save_ply`): one element `vertex` of floats x y z, nx ny nz (0),
f_dc_0..2, f_rest_*, opacity, scale_0..2, rot_0..3. Opacity is a logit, scales are natural
logarithms, the quaternion is (w, x, y, z) of any length, and a colour is .5 + `C0` * f_dc. We write
colours that are the same from all sides, so no f_rest: spherical harmonics of degree 0. Logarithms
and logits exist in the file only.

**Which way up.** Files of this kind have y down, from COLMAP's cameras, and no header says so.
SuperSplat and other PlayCanvas viewers therefore turn every file half about z when they load it;
antimatter15/splat has cameras whose y is down. Ours is y up, with the face along +z. So we write
(-x, -y, z): upright in all of them, and in SuperSplat on our very axes. Every file is turned so
when it is read, ours that an editor saved again as well as foreign ones, whose unit counts as a
metre. A comment in the header marks our own.
"""

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from avatar.errors import GaussianFileError
from avatar.types import Gaussians

MARK = "visavis 1: metres; x to the avatar's right, y down, z out of the face"
"""The comment in our files' header. Only what comes before the colon decides."""
LARGEST_COUNT = 5_000_000
"""Splats: some captured scenes have that many. Here they take 280 MB."""
C0 = 0.28209479177387814
"""The spherical harmonic of degree 0, 1 / (2 sqrt(pi))."""
HIDDEN, SOLID = 1e-6, 1 - 1e-6
"""Opacities as they are written at least and at most: the logits of 0 and 1 are infinite."""
SMALLEST_M = 1e-9
"""Scales as they are written at least: there is no logarithm of 0."""

_READ = (
    *("x", "y", "z", "f_dc_0", "f_dc_1", "f_dc_2", "opacity"),
    *("scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"),
)
_WRITTEN = (*_READ[:3], "nx", "ny", "nz", *_READ[3:])
_TYPES = {
    **{"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4"},
    **{"int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4"},
    **{"float": "f4", "double": "f8", "float32": "f4", "float64": "f8"},
}
_ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">", "ascii": ""}
_LONGEST_HEADER_BYTES = 1 << 16
_MOST_PROPERTIES = 256
"""INRIA's files have 62."""
_LONGEST_LINE_BYTES = 1 << 14
"""Of a splat in text: 256 numbers of 64 characters."""
_BLOCK = 1 << 14
"""Splats that are converted at a time: what is not needed of them never fills memory."""
_TURN = np.array([-1.0, -1.0, 1.0], np.float32)
"""Half about z, its own inverse. On quaternions it is the product with (0, 0, 0, 1) from the left:
(w, x, y, z) becomes (-z, -y, x, w)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StillGaussians:
    """What a file held."""

    gaussians: Gaussians
    """On our axes, if the file has y down."""
    ours: bool
    """As this program wrote it: that y is down is known, and that a unit is a metre."""
    left_out: int
    """Splats that had nan, infinity or a quaternion of length 0 in them."""
    shaded: bool
    """The file's colours differ with the direction (f_rest); the mean colour was taken."""


@dataclass(frozen=True, slots=True)
class _Header:
    order: str
    """Of NumPy; "" for text."""
    count: int
    properties: tuple[tuple[str, str], ...]
    """Name and NumPy type of each number of a splat, in the file's order."""
    ours: bool
    length: int
    """Bytes before the first splat."""


def write_gaussians(gaussians: Gaussians, path: Path) -> None:
    """Write a binary .ply straight to `path`, for `app.output_file.written_beside` to rename."""
    count = len(gaussians)
    rows = np.zeros((count, len(_WRITTEN)), "<f4")
    opacities = np.clip(gaussians.opacities.astype(np.float64), HIDDEN, SOLID)
    rows[:, 0:3] = gaussians.means * _TURN
    rows[:, 6:9] = (gaussians.colours.astype(np.float64) - 0.5) / C0
    rows[:, 9] = np.log(opacities / (1 - opacities))
    rows[:, 10:13] = np.log(np.maximum(gaussians.scales.astype(np.float64), SMALLEST_M))
    rows[:, 13:17] = _turned(gaussians.rotations)
    lines = ["ply", "format binary_little_endian 1.0", f"comment {MARK}", f"element vertex {count}"]
    lines += [f"property float {name}" for name in _WRITTEN]
    with path.open("wb") as file:
        file.write("\n".join([*lines, "end_header", ""]).encode("ascii"))
        file.write(rows.tobytes())


def read_gaussians(path: Path) -> StillGaussians:
    """Read and check a .ply of Gaussians, text or binary, of any program.

    Raises:
        GaussianFileError: missing, not a .ply, not of Gaussians, damaged, or too large.
    """
    try:
        if not path.is_file():
            what = "a folder or device" if path.exists() else "no such file"
            raise GaussianFileError(f"{path}: {what}, expected a .ply of Gaussians. Name a file.")
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            header = _header(path, file)
            _check_length(path, header, size)
            blocks = _text_blocks if header.order == "" else _binary_blocks
            numbers = np.empty((header.count, len(_READ)), np.float32)
            kept = 0
            for block in blocks(path, file, header):
                finite = np.isfinite(block).all(axis=1) & (block[:, 10:] != 0).any(axis=1)
                good = block[finite]
                numbers[kept : kept + len(good)] = good
                kept += len(good)
    except OSError as error:
        raise GaussianFileError(f"{path}: cannot be read ({error.strerror or error}).") from error
    if not kept:
        raise GaussianFileError(
            f"{path}: none of its {header.count:,} Gaussians can be drawn, all have nan, infinity "
            "or an empty quaternion in them. Export it again."
        )
    numbers = numbers[:kept]
    means = np.ascontiguousarray(numbers[:, 0:3])
    rotations = np.ascontiguousarray(numbers[:, 10:14])
    return StillGaussians(
        gaussians=Gaussians(
            means=means * _TURN,
            rotations=_turned(rotations),
            scales=np.ascontiguousarray(numbers[:, 7:10]),
            opacities=np.ascontiguousarray(numbers[:, 6]),
            colours=np.ascontiguousarray(numbers[:, 3:6]),
        ),
        ours=header.ours,
        left_out=header.count - kept,
        shaded=any(name == "f_rest_0" for name, _ in header.properties),
    )


def _turned(rotations: NDArray[np.float32]) -> NDArray[np.float32]:
    """[N, 4] after half a turn about z; twice is the same rotation (its negative quaternion)."""
    return np.ascontiguousarray(
        rotations[:, [3, 2, 1, 0]] * np.array([-1, -1, 1, 1], np.float32), np.float32
    )


def _linear(columns: NDArray[np.float64]) -> NDArray[np.float32]:
    """[n, 14] as in the file (`_READ`) -> the same with colours 0..1, opacities 0..1 and scales in
    metres. Whoever has a number that is not finite, or whose scale is too large for a float, comes
    out as not finite."""
    columns[~np.isfinite(columns).all(axis=1)] = np.nan
    with np.errstate(over="ignore"):
        columns[:, 3:6] = np.clip(0.5 + C0 * columns[:, 3:6], 0, 1)
        columns[:, 6] = 1 / (1 + np.exp(-columns[:, 6]))
        columns[:, 7:10] = np.exp(columns[:, 7:10])
        return columns.astype(np.float32)


def _binary_blocks(path: Path, file: BinaryIO, header: _Header) -> Iterator[NDArray[np.float32]]:
    """[n, 14] linear numbers of the splats, some thousand at a time."""
    layout = np.dtype([(name, header.order + kind) for name, kind in header.properties])
    for first in range(0, header.count, _BLOCK):
        wanted = min(_BLOCK, header.count - first)
        raw = file.read(wanted * layout.itemsize)
        if len(raw) < wanted * layout.itemsize:  # it was cut while we read
            raise GaussianFileError(f"{path}: ends within Gaussian {first:,}. Export it again.")
        rows = np.frombuffer(raw, layout)
        with np.errstate(invalid="ignore"):  # some kinds of nan complain of being converted
            numbers = np.stack([rows[name].astype(np.float64) for name in _READ], axis=1)
        yield _linear(numbers)


def _text_blocks(path: Path, file: BinaryIO, header: _Header) -> Iterator[NDArray[np.float32]]:
    """The same from a file in which every splat is a line of numbers."""
    chosen = [[name for name, _ in header.properties].index(name) for name in _READ]
    block: list[list[float]] = []
    for number in range(header.count):
        words = file.readline(_LONGEST_LINE_BYTES).split()
        try:
            values = [float(words[index]) for index in chosen]
            if len(words) != len(header.properties):
                raise ValueError
        except (ValueError, IndexError):
            raise GaussianFileError(
                f"{path}: line {number + 1} of its Gaussians has {len(words)} words, expected "
                f"{len(header.properties)} numbers. The file is damaged; export it again."
            ) from None
        block.append(values)
        if len(block) == _BLOCK or number + 1 == header.count:
            yield _linear(np.array(block, np.float64))
            block = []


def _header(path: Path, file: BinaryIO) -> _Header:
    """What the first lines say, and `file` stands behind them."""
    start = file.read(_LONGEST_HEADER_BYTES)
    if start[:4] not in (b"ply\n", b"ply\r"):
        what = "empty" if not start else f"begins with {start[:4]!r}"
        raise GaussianFileError(
            f"{path}: {what}, a .ply begins with 'ply'. Name a file of visavis export or of "
            "another program for 3D Gaussians."
        )
    lines: list[list[str]] = []
    stream = io.BytesIO(start)
    while (line := stream.readline()).rstrip() != b"end_header":
        if not line:
            raise GaussianFileError(
                f"{path}: its header has no end_header within {_LONGEST_HEADER_BYTES:,} bytes. "
                "The file is cut short or damaged; export it again."
            )
        lines.append(line.decode("ascii", "replace").split())
    file.seek(stream.tell())
    orders = [words[1] for words in lines if words[:1] == ["format"] and len(words) == 3]
    if len(orders) != 1 or orders[0] not in _ORDERS:
        raise GaussianFileError(
            f"{path}: expected one line 'format {'|'.join(_ORDERS)} 1.0', got "
            f"{', '.join(orders)[:40] or 'none'}. The file is damaged; export it again."
        )
    count, properties = _vertices(path, lines)
    own = MARK.partition(":")[0].split()
    return _Header(
        order=_ORDERS[orders[0]],
        count=count,
        properties=properties,
        ours=any(
            words[:1] == ["comment"] and " ".join(words[1:]).partition(":")[0].split() == own
            for words in lines
        ),
        length=stream.tell(),
    )


def _vertices(path: Path, lines: list[list[str]]) -> tuple[int, tuple[tuple[str, str], ...]]:
    """How many splats the header announces, and of which numbers each consists."""
    elements = [number for number, words in enumerate(lines) if words[:1] == ["element"]]
    names = [" ".join(lines[number][1:2]) for number in elements]
    if names[:1] != ["vertex"]:
        kind = "compressed by SuperSplat, " if "chunk" in names else ""
        raise GaussianFileError(
            f"{path}: {kind}its first element is {(names or ['none'])[0]!r:.40}, expected "
            "'vertex'. Export it as an ordinary .ply."
        )
    words = lines[elements[0]]
    if len(words) != 3 or not (words[2].isascii() and words[2].isdigit()):
        raise GaussianFileError(
            f"{path}: its header says {' '.join(words)[:60]!r}, expected 'element vertex NUMBER'. "
            "The file is damaged; export it again."
        )
    # Not more digits than that are worth a number: Python refuses some thousands of them.
    count = int(words[2][:20])
    if not 0 < count <= LARGEST_COUNT:
        raise GaussianFileError(
            f"{path}: its header announces {count:,} Gaussians, expected 1 to {LARGEST_COUNT:,}. "
            "Export it again, in a larger file with fewer of them."
        )
    properties: dict[str, str] = {}
    for words in lines[elements[0] + 1 : (*elements, len(lines))[1]]:
        if words[:1] != ["property"]:
            continue
        if len(words) != 3 or words[1] not in _TYPES or words[2] in properties:
            raise GaussianFileError(
                f"{path}: its header says {' '.join(words)[:60]!r}, expected 'property TYPE NAME', "
                "each name once. The file is damaged or of another kind; export it again."
            )
        properties[words[2]] = _TYPES[words[1]]
    missing = [name for name in _READ if name not in properties]
    if missing or len(properties) > _MOST_PROPERTIES:
        lacks = f"it lacks {', '.join(missing)}" if missing else f"{len(properties)} properties"
        raise GaussianFileError(
            f"{path}: a .ply, but not of 3D Gaussians ({lacks}; a mesh or cloud of points has no "
            "others). Export it as Gaussians."
        )
    return count, tuple(properties.items())


def _check_length(path: Path, header: _Header, size: int) -> None:
    """Refuse a count that the file cannot hold before memory is taken for it."""
    missing_end = 0 if header.order else 1  # the last line may lack its line feed
    if header.order:
        each = sum(int(kind[1]) for _, kind in header.properties)
    else:
        each = 2 * len(header.properties)  # a digit, and what parts it from the next
    if size - header.length + missing_end < header.count * each:
        least = "" if header.order else "at least "
        raise GaussianFileError(
            f"{path}: its header announces {header.count:,} Gaussians of {least}{each} bytes, got "
            f"{size - header.length:,} bytes in all. "
            "The file is cut short or damaged; copy or export it again."
        )
