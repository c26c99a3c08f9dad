"""Open Sound Control 1.0: messages and bundles as datagrams, and back.

Only what the streams need: int32, float32 and strings; bundles of messages, not of bundles.
"""

import struct
from collections.abc import Sequence

import numpy as np

from avatar.errors import MotionFileError

Argument = int | float | str
Message = tuple[str, tuple[Argument, ...]]
"""Address and arguments."""
_BUNDLE = b"#bundle\0"
_AT_ONCE = struct.pack(">Q", 1)
LARGEST_BYTES = 1400
"""Of a datagram: less than what an Ethernet frame carries, so that none is cut in pieces."""


def message(address: str, *arguments: Argument) -> bytes:
    """One message."""
    tags, data = [","], []
    for argument in arguments:
        if isinstance(argument, str):
            tags.append("s")
            data.append(_text(argument))
        elif isinstance(argument, int):
            tags.append("i")
            data.append(struct.pack(">i", argument))
        else:
            tags.append("f")
            data.append(struct.pack(">f", argument))
    return b"".join([_text(address), _text("".join(tags)), *data])


def floats(address: str, values: Sequence[float]) -> bytes:
    """One message of numbers; quicker than `message` where there are many."""
    numbers = np.asarray(values, ">f4")
    return _text(address) + _text("," + "f" * numbers.size) + numbers.tobytes()


def bundle(messages: Sequence[bytes]) -> bytes:
    """Messages that belong to one instant, to be taken at once."""
    parts = [_BUNDLE, _AT_ONCE]
    for one in messages:
        parts += [struct.pack(">i", len(one)), one]
    return b"".join(parts)


def bundles(messages: Sequence[bytes], largest: int = LARGEST_BYTES) -> list[bytes]:
    """As few bundles as hold them all, none longer than `largest`; a longer message alone."""
    whole, part, size = [], [], 16
    for one in messages:
        if part and size + 4 + len(one) > largest:
            whole.append(bundle(part))
            part, size = [], 16
        part.append(one)
        size += 4 + len(one)
    return [*whole, bundle(part)] if part else whole


def parse(datagram: bytes) -> list[Message]:
    """The messages of a datagram.

    Raises:
        MotionFileError: not OSC, damaged, or of types that are not read here.
    """
    try:
        if not datagram.startswith(_BUNDLE):
            return [_parsed(datagram)]
        messages, place = [], 16
        while place < len(datagram):
            (size,) = struct.unpack_from(">i", datagram, place)
            if not 0 < size <= len(datagram) - place - 4:
                raise ValueError(f"a part of {size} bytes")
            messages.append(_parsed(datagram[place + 4 : place + 4 + size]))
            place += 4 + size
    except (ValueError, struct.error, UnicodeDecodeError) as error:
        raise MotionFileError(f"OSC: expected messages of i, f and s, got {error}.") from error
    return messages


def _text(text: str) -> bytes:
    raw = text.encode("utf-8")
    return raw + bytes(4 - len(raw) % 4)


def _parsed(data: bytes) -> Message:
    address, place = _read_text(data, 0)
    tags, place = _read_text(data, place)
    if not address.startswith("/") or not tags.startswith(","):
        raise ValueError(f"the address {address[:40]!r} with types {tags[:20]!r}")
    arguments: list[Argument] = []
    for tag in tags[1:]:
        if tag == "s":
            text, place = _read_text(data, place)
            arguments.append(text)
        elif tag in "if":
            arguments += struct.unpack_from(f">{tag}", data, place)
            place += 4
        else:
            raise ValueError(f"type {tag!r}")
    return address, tuple(arguments)


def _read_text(data: bytes, place: int) -> tuple[str, int]:
    end = data.index(0, place)
    after = end + 4 - (end - place) % 4
    if after > len(data):
        raise ValueError("a text that is cut off")
    return data[place:end].decode("utf-8"), after
