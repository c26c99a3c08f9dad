"""What streams are called and where they go, apart from what fills them: `--help` reads this."""

from typing import Literal, get_args

LIVE_LINK_PORT = 11111
"""Where Unreal listens for Live Link Face (UDP)."""
VmcNames = Literal["vrm0", "vrm1", "arkit"]
VMC_NAMES: tuple[VmcNames, ...] = get_args(VmcNames)
