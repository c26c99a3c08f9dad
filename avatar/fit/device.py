"""What an avatar can be fitted on, for who only names it: fitting itself takes seconds to load."""

from typing import Literal

Device = Literal["auto", "cpu", "cuda"]
"""The processor; an NVIDIA card, by gsplat; the card where that works, else the processor."""
