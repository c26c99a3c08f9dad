"""Makes docs/headset.png, by a real session: `python -m tests.headset.picture docs/headset.png`.

What both eyes see, side by side, drawn 2.4 times as finely as the simulated headset asks for, with
the panel shown and a hand that points at it. The panel is drawn into the pictures: in a session it
is a layer of its own, which the application never sees.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from app.commands.live import load_scene
from avatar.types import ARKIT_NAMES
from tests.headset.monado import INSIDE, Remote, Service, inside_environment, monado_here
from tests.headset.worn import aim_at, toggle_panel, worn

FINER = 2.4
BLINK = ARKIT_NAMES.index("eyeBlinkLeft")


def make(path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="xr") as folder:
        service = Service(monado_here(), Path(folder))
        service.start()
        try:
            remote = Remote(service)
            with worn(load_scene("default", None), service, finer=FINER) as headset:
                headset.side.panel_in_eyes = True
                # A step nearer, aside and turned: the avatar follows with eyes and head.
                remote.position, remote.yaw = (0.22, 1.62, -0.24), 0.36
                remote.right.position = (0.34, 1.25, -0.62)
                remote.send()
                headset.settled()
                toggle_panel(headset, remote)
                remote.left.active = False
                remote.yaw = 0.46
                aim_at(headset, remote, (0.88, 0.66))
                seen = headset.turns(30)
                while seen.motion.expression[BLINK] > 0.02:
                    seen = headset.turns(1)
            remote.close()
        finally:
            service.kill()
    Image.fromarray(np.concatenate(seen.pictures, axis=1)).save(path, optimize=True)


if __name__ == "__main__":
    if os.environ.get(INSIDE):
        make(Path(sys.argv[1]))
    else:
        monado = monado_here()
        command = [*monado.launcher, sys.executable, "-m", "tests.headset.picture", sys.argv[1]]
        environment = {**os.environ, **inside_environment(monado)}
        sys.exit(subprocess.run(command, env=environment).returncode)
