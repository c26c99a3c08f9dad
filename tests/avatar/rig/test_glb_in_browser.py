"""The .glb in a real browser: three.js loads it, and its face moves in the picture."""

import functools
import http.server
import io
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from avatar.rig.motion_files import open_motion_file
from tests.avatar.rig.faces import face
from tests.node import npm_module

SIDE = 200
TIMES = (0.02, 0.98)
PAGE = """<body style="margin:0"><script type="importmap">{"imports": {
"three": "/three/build/three.module.js", "three/addons/": "/three/examples/jsm/"}}</script>
<script type="module">
import * as THREE from "three";
import {GLTFLoader} from "three/addons/loaders/GLTFLoader.js";
const side = %(side)d, times = %(times)s;
const renderer = new THREE.WebGLRenderer({preserveDrawingBuffer: true});
renderer.setSize(side * times.length, side);
document.body.append(renderer.domElement);
const scene = new THREE.Scene();
scene.background = new THREE.Color(0x0000ff);
const camera = new THREE.PerspectiveCamera(24, 1, 0.05, 10);
camera.position.set(0, -0.02, 0.6);
camera.lookAt(0, -0.03, 0);
scene.add(new THREE.HemisphereLight(0xffffff, 0x888888, 2.5));
new GLTFLoader().load("/face.glb", (gltf) => {
  scene.add(gltf.scene);
  const mixer = new THREE.AnimationMixer(gltf.scene);
  mixer.clipAction(gltf.animations[0]).play();
  renderer.setScissorTest(true);
  times.forEach((time, index) => {
    mixer.setTime(time);
    renderer.setViewport(index * side, 0, side, side);
    renderer.setScissor(index * side, 0, side, side);
    renderer.render(scene, camera);
  });
});
</script></body>
"""


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None: ...


@pytest.fixture
def page(tmp_path: Path) -> Iterator[str]:
    """Address of a folder with the page, three.js and a face that opens its mouth in a second."""
    three = npm_module("three")
    (tmp_path / "three").symlink_to(three)
    (tmp_path / "index.html").write_text(PAGE % {"side": SIDE, "times": json.dumps(TIMES)})
    writer = open_motion_file(tmp_path / "face.glb", 10.0)
    for index in range(11):
        writer.write(face(jawOpen=0.09 * index, browInnerUp=0.1 * index))
    writer.finish()
    writer.close()
    handler = functools.partial(QuietHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/index.html"
        server.shutdown()
        thread.join()


def test_a_browser_shows_the_head_and_plays_it(page: str, tmp_path: Path) -> None:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    assert chromium is not None, "no Chromium: python3 run.py test installs it on Debian, as root"
    shot = tmp_path / "shot.png"
    subprocess.run(
        [
            chromium, "--headless", "--no-sandbox", "--use-angle=swiftshader",
            "--enable-unsafe-swiftshader", f"--user-data-dir={tmp_path / 'profile'}",
            f"--window-size={SIDE * len(TIMES)},{SIDE + 150}", "--virtual-time-budget=20000",
            f"--screenshot={shot}", page,
        ],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    picture = np.asarray(Image.open(io.BytesIO(shot.read_bytes())).convert("RGB")).astype(int)
    first, last = (picture[:SIDE, part * SIDE : (part + 1) * SIDE] for part in (0, 1))
    skin = (first[..., 0] > first[..., 2] + 20).mean()
    assert 0.2 < skin < 0.9, "a head before a blue ground"
    moved = np.abs(first - last).max(-1)
    assert moved[SIDE // 2 : int(0.8 * SIDE)].max() > 40, "its mouth opens"
    assert moved[int(0.25 * SIDE) : int(0.45 * SIDE)].max() > 15, "its brows rise"
    assert moved[: int(0.05 * SIDE)].max() < 5, "the ground stands still"
