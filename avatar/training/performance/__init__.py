"""The performance of a living face: teacher of the motion generator.

`perform` gives what a person's face does with given words, mood, look and distance; random in
what is not asked, with the statistics of people where they are known.
"""

from avatar.training.performance.performer import Performance, perform
from avatar.training.performance.script import Script, Style, draw_script, draw_style
from avatar.training.performance.voice import SPEECH_NAMES, Speech, tongue_of

__all__ = [
    "SPEECH_NAMES", "Performance", "Script", "Speech", "Style", "draw_script", "draw_style",
    "perform", "tongue_of",
]  # fmt: skip
