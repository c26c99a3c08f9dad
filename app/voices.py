"""Whose lips speak: the voice file that was named, or the one that lies beside the avatar."""

import sys
from pathlib import Path

from avatar.errors import VoiceFileError
from avatar.speech.network import load_network
from avatar.speech.voice import ENDING, Voice, load_voice


def chosen_voice(named: Path | None, avatar_file: Path | None = None) -> Voice | None:
    """The voice to speak with; None for the lips as they ship.

    One beside the avatar is told of, and passed over where it cannot be used.

    Raises:
        VoiceFileError: the file named cannot be used.
    """
    if named is not None:
        return load_voice(named, load_network())
    if avatar_file is None:
        return None
    beside = avatar_file.with_suffix(ENDING)
    if not beside.is_file():
        return None
    try:
        voice = load_voice(beside, load_network())
    except VoiceFileError as error:
        print(f"lips as they ship: {error}", file=sys.stderr)
        return None
    print(f"lips of {beside}", file=sys.stderr)
    return voice
