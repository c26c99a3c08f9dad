"""The contract of the command line: what it writes, says, and returns, for good and bad input."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from app.__main__ import COMMANDS, SELF_DESCRIBED, main
from app.bundled import SAMPLE_LINE
from app.commands import demo
from app.motion_track import interpolated, spoken
from app.settings import LiveSettings, RenderSettings
from avatar.deform import Deformer
from avatar.errors import DeviceError
from avatar.types import Avatar
from render.camera import orbit_view
from render.choose import open_renderer
from tests.app.sounds import tone, write_wav


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    return write_wav(tmp_path / "sound.wav", 16000, tone(0.5, 16000))


def refused(capsys: pytest.CaptureFixture[str], arguments: list[object]) -> str:
    """The one line that a command prints when it refuses its input."""
    assert main([str(argument) for argument in arguments]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("visavis: ")
    assert "Traceback" not in lines[0]
    return lines[0]


def usage_status(arguments: list[object]) -> int:
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    return int(str(caught.value.code))


def visavis(*arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "app", *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_help_lists_every_command_and_loads_none_of_the_heavy_libraries(tmp_path: Path) -> None:
    code = (
        "import sys; from app.__main__ import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as stop: assert stop.code == 0, stop.code\n"
        "heavy = {'torch', 'numba', 'mediapipe', 'av', 'scipy', 'glfw', 'cv2'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    result = subprocess.run(
        [sys.executable, "-P", "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    for name in (*COMMANDS, *SELF_DESCRIBED):
        assert name in result.stdout


@pytest.mark.parametrize("name", [*COMMANDS, *SELF_DESCRIBED])
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert usage_status([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"usage: visavis {name}" in text
    assert f"  visavis {name}" in text, "an example"


@pytest.mark.parametrize(
    "arguments",
    [
        ["rendr"],
        ["--nonsense"],
        ["render"],
        ["render", "-o", "a.mp4"],
        ["render", "-o", "a.mp4", "--audio", "a.wav", "--motion", "m.npz"],
        ["render", "-o", "a.mp4", "--audio", "a.wav", "--size", "9"],
        ["render", "-o", "a.mp4", "--audio", "a.wav", "--view", "1,2"],
        ["render", "-o", "a.mp4", "--audio", "a.wav", "--backend", "abacus"],
        ["still", "-o", "a.png", "--expression", "jawOpne:1"],
        ["motion", "-o", "m.npz", "--audio", "a.wav", "--fps", "0"],
        ["make", "-o", "a.avatar"],
    ],
)
def test_wrong_usage_has_status_2_and_writes_nothing(
    arguments: list[object], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert usage_status(arguments) == 2
    assert capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_sound_becomes_a_film_of_its_length(
    tmp_path: Path, sound: Path, small_avatar_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "film.mp4"
    arguments = ["render", "--avatar", small_avatar_file, "--audio", sound, "-o", target]
    arguments += ["--size", "65x49", "--fps", "30", "--view", "-30,10,0.8", "--background", "white"]
    assert main([str(argument) for argument in arguments]) == 0
    assert capsys.readouterr().out == f"{target}\n"
    with av.open(str(target)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert container.streams.audio[0].codec_context.name == "aac"
    assert len(frames) == 15
    assert frames[0].shape == (50, 66, 3)
    assert frames[0][0, 0].min() > 250, "the background is white"
    assert frames[0].min() < 200, "the avatar is there"


def test_the_face_of_each_picture_is_the_one_of_its_moment_of_sound(
    tmp_path: Path, small_avatar: Avatar, small_avatar_file: Path
) -> None:
    target = tmp_path / "film.mp4"
    arguments = ["render", "--avatar", small_avatar_file, "--audio", SAMPLE_LINE, "-o", target]
    assert main([str(argument) for argument in [*arguments, "--size", "96"]]) == 0
    with av.open(str(target)) as container:
        shown = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    motion = list(spoken(SAMPLE_LINE, seed=0))
    times = np.array([frame.time_s for frame in motion])
    deformer, renderer = Deformer(small_avatar), open_renderer()
    view = orbit_view(0, 0, 1, width=96, height=96)

    def difference(index: int, offset_s: float) -> float:
        """Between the picture and the face that the sound has `offset_s` later."""
        after = int(np.searchsorted(times, index / 25 + offset_s))
        moment = interpolated(motion[after - 1], motion[after], index, index / 25 + offset_s)
        picture = renderer.render(deformer.gaussians(moment), [view])[0]
        return float(np.abs(picture.astype(int) - shown[index]).mean())

    offsets_s = np.array([-0.08, -0.04, -0.02, 0.0, 0.02, 0.04, 0.08])
    for part in (range(14, 26), range(144, 156)):  # the line's first words, and its last
        misfit = [np.mean([difference(index, o) for index in part]) for o in offsets_s]
        # H.264 keeps still what hardly changed, so its pictures may look a little late.
        assert abs(offsets_s[np.argmin(misfit)]) <= 0.02, misfit


def test_a_motion_file_makes_the_same_film_as_its_sound(
    tmp_path: Path, small_avatar_file: Path
) -> None:
    short = tmp_path / "short.wav"
    with av.open(str(SAMPLE_LINE)) as container:
        samples = np.concatenate([f.to_ndarray()[0] for f in container.decode(audio=0)])
    write_wav(short, 16000, samples[4000:20000])
    motion, first, second = (tmp_path / name for name in ("m.npz", "a.mp4", "b.mp4"))
    common = ["--avatar", str(small_avatar_file), "--size", "64"]
    assert main(["motion", "--audio", str(short), "-o", str(motion)]) == 0
    assert main(["render", *common, "--audio", str(short), "-o", str(first)]) == 0
    assert main(["render", *common, "--motion", str(motion), "-o", str(second)]) == 0
    films = []
    for path in (first, second):
        with av.open(str(path)) as container:
            frames = container.decode(video=0)
            films.append(np.stack([frame.to_ndarray(format="rgb24") for frame in frames]))
    assert films[0].shape == (25, 64, 64, 3)
    np.testing.assert_array_equal(films[0], films[1])
    with np.load(motion, allow_pickle=False) as arrays:
        turns = np.abs(np.diff(arrays["head_rotation"], axis=0)).max(axis=1)
    assert turns.min() > 0, "the head is never frozen"


def test_a_recording_of_a_phone_moves_an_avatar_and_the_rig_stands_beside_it(
    tmp_path: Path, sound: Path, small_avatar_file: Path
) -> None:
    recording, film = tmp_path / "phone.csv", tmp_path / "film.mp4"
    told = ["--layout", "livelink", "--fps", "60", "--timecode", "12:00:00:30"]
    assert main(["motion", "--audio", str(sound), "-o", str(recording), *told]) == 0
    assert recording.read_text().splitlines()[1].startswith("12:00:00:30.000,61,")
    common = ["--avatar", str(small_avatar_file), "--size", "64", "-o", str(film)]
    assert main(["render", *common, "--motion", str(recording), "--rig"]) == 0
    with av.open(str(film)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == 13  # half a second
    assert frames[0].shape == (64, 128, 3)
    for side in (slice(0, 64), slice(64, 128)):
        assert frames[0][20:44, side].astype(int).std() > 10, "somebody is there"


@pytest.mark.parametrize(
    ("name", "more", "start"),
    [
        ("m.usda", [], b"#usda 1.0"),
        ("m.glb", [], b"glTF"),
        ("m.bvh", [], b"HIERARCHY"),
        ("m.csv", ["--layout", "rigmapper", "--tongue-names", "new"], b"curve_name,"),
        ("m.csv", ["--names", "maya"], b"time_s,eyeBlinkLeft"),
    ],
)
def test_motion_is_written_for_other_programs(
    tmp_path: Path, sound: Path, name: str, more: list[str], start: bytes
) -> None:
    target = tmp_path / name
    assert main(["motion", "--audio", str(sound), "-o", str(target), *more]) == 0
    content = target.read_bytes()
    assert content.startswith(start)
    if name == "m.glb":
        assert b"KHR_audio_emitter" in content
    if "new" in more:
        assert b"CTRL_C_tongue_move.tx,0," in content
    if "maya" in more:
        assert b"CTRL_L_brow_down.translateY" in content


@pytest.mark.parametrize(
    "words",
    [["--timecode", "25:00:00:00"], ["--layout", "livelink"], ["--names", "french"]],
)
def test_a_form_that_is_not_is_wrong_usage(tmp_path: Path, sound: Path, words: list[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["motion", "--audio", str(sound), "-o", str(tmp_path / "m.npz"), *words])
    assert refused.value.code == 2


@pytest.mark.parametrize("ending", ["npz", "csv", "json"])
def test_motion_files_hold_a_frame_for_every_picture(
    tmp_path: Path, sound: Path, ending: str
) -> None:
    target = tmp_path / f"m.{ending}"
    assert main(["motion", "--audio", str(sound), "-o", str(target), "--fps", "30"]) == 0
    if ending == "npz":
        with np.load(target, allow_pickle=False) as arrays:
            assert arrays["time_s"] == pytest.approx(np.arange(15) / 30)
            assert arrays["metahuman"].shape == (15, 174)
            assert arrays["metahuman_names"].shape == (174,)
    elif ending == "json":
        assert len(json.loads(target.read_text())["frames"]) == 15
    else:
        assert len(target.read_text().splitlines()) == 16


def test_a_still_shows_the_expression_and_the_view(tmp_path: Path, small_avatar_file: Path) -> None:
    pictures = []
    for name, more in (
        ("rest", []),
        ("open", ["--expression", "jawOpen:1"]),
        ("side", ["--view", "40,0,1"]),
    ):
        target = tmp_path / f"{name}.png"
        arguments = ["still", "--avatar", str(small_avatar_file), "-o", str(target)]
        assert main([*arguments, "--size", "96", *more]) == 0
        pictures.append(np.asarray(Image.open(target)).astype(int))
    assert pictures[0].shape == (96, 96, 3)
    assert np.abs(pictures[1] - pictures[0]).max() > 30
    assert np.abs(pictures[2] - pictures[0]).max() > 30


def test_the_renderers_agree_on_a_picture(tmp_path: Path, small_avatar_file: Path) -> None:
    pictures = []
    for backend in ("reference", "cpu", "gl"):
        target = tmp_path / f"{backend}.png"
        arguments = ["still", "--avatar", str(small_avatar_file), "--size", "48", "-o", str(target)]
        assert main([*arguments, "--backend", backend]) == 0
        pictures.append(np.asarray(Image.open(target)).astype(int))
    for picture in pictures[1:]:
        assert np.abs(picture - pictures[0]).max() <= 2  # steps of 1/255: rounding


@pytest.mark.parametrize("window", ["none", "broken"])
def test_without_a_window_the_program_makes_a_film_of_the_bundled_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    window: str,
) -> None:
    def broken(settings: LiveSettings) -> None:
        raise DeviceError("this display has no OpenGL 3.3")

    rendered = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo, "display_available", lambda: window == "broken")
    monkeypatch.setattr(demo, "live", broken)
    monkeypatch.setattr(demo, "render", rendered.append)
    assert main([]) == 0
    assert rendered == [RenderSettings(audio=SAMPLE_LINE, output=Path("visavis-demo.mp4"))]
    assert ("OpenGL" in capsys.readouterr().err) == (window == "broken")


def test_bad_sounds_are_refused_in_one_line_and_leave_nothing(
    tmp_path: Path, small_avatar_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "text.wav"
    text.write_text("not a sound at all\n" * 50)
    empty = write_wav(tmp_path / "empty.wav", 16000, np.zeros(0, np.int16))
    before = sorted(tmp_path.iterdir())
    for bad, reason in ((text, "not a sound"), (empty, "0 samples"), (tmp_path / "no", "no such")):
        film = ["render", "--avatar", small_avatar_file, "--audio", bad, "-o", tmp_path / "f.mp4"]
        assert reason in refused(capsys, film)
        assert reason in refused(capsys, ["motion", "--audio", bad, "-o", tmp_path / "m.csv"])
    assert sorted(tmp_path.iterdir()) == before


def test_bad_avatars_are_refused_in_one_line_and_leave_nothing(
    tmp_path: Path, sound: Path, small_avatar_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = small_avatar_file.read_bytes()
    cases = {
        "short.avatar": good[: len(good) // 2],
        "text.avatar": b"a text that is no avatar",
        "empty.avatar": b"",
        "header.avatar": (10 << 30).to_bytes(8, "little") + good[8:],
        "newer.avatar": good.replace(b'"version":"1"', b'"version":"9"'),
    }
    for name, data in cases.items():
        path = tmp_path / name
        path.write_bytes(data)
        before = sorted(tmp_path.iterdir())
        film = ["render", "--avatar", path, "--audio", sound, "-o", tmp_path / "f.mp4"]
        assert name in refused(capsys, film)
        assert name in refused(capsys, ["still", "--avatar", path, "-o", tmp_path / "f.png"])
        assert sorted(tmp_path.iterdir()) == before
    line = refused(capsys, ["still", "--avatar", "nobody", "-o", tmp_path / "f.png"])
    assert "no bundled avatar of this name" in line
    assert "default" in line


def test_outputs_that_cannot_be_written_are_refused_before_the_work(
    tmp_path: Path, sound: Path, small_avatar_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    render = ["render", "--avatar", small_avatar_file, "--audio", sound, "-o"]
    assert "no folder" in refused(capsys, [*render, tmp_path / "missing" / "f.mp4"])
    assert "expected the ending .mp4" in refused(capsys, [*render, tmp_path / "f.avi"])
    assert ".npz or .csv or .json" in refused(
        capsys, ["motion", "--audio", sound, "-o", tmp_path / "m.fbx"]
    )
    film = tmp_path / "film.mp4"
    film.write_bytes(sound.read_bytes())
    refusal = refused(capsys, ["render", "--audio", film, "-o", film])
    assert "overwrite what is read" in refusal
    assert film.read_bytes() == sound.read_bytes()


def test_what_is_no_portrait_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "me.jpg"
    text.write_text("not a picture")
    assert "me.jpg" in refused(capsys, ["make", text, "-o", tmp_path / "a.avatar"])
    assert "no folder" in refused(capsys, ["make", text, "-o", tmp_path / "gone" / "a.avatar"])
    assert [path.name for path in tmp_path.iterdir()] == ["me.jpg"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to send")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_film_that_is_stopped_leaves_no_file(
    tmp_path: Path, small_avatar_file: Path, number: signal.Signals, status: int
) -> None:
    long = write_wav(tmp_path / "long.wav", 16000, np.tile(tone(1, 16000), 600))
    process = subprocess.Popen(
        [
            *(sys.executable, "-P", "-m", "app", "render", "--avatar", str(small_avatar_file)),
            *("--audio", str(long), "--size", "64", "-o", str(tmp_path / "film.mp4")),
        ],
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    patience = time.monotonic() + 60
    while not list(tmp_path.glob(".film.*.mp4")):  # the film has begun
        assert process.poll() is None
        assert time.monotonic() < patience
        time.sleep(0.05)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == status
    assert "Traceback" not in errors
    assert [path.name for path in tmp_path.iterdir()] == ["long.wav"]


CALLED_BACK = """
import os, signal, sys, time, app.__main__ as program

class CalledBack:
    def __del__(self):  # nothing that is raised in here comes out
        os.kill(os.getpid(), {number})
        time.sleep(0.2)

def work(settings):
    CalledBack()
    print("went on", flush=True)
    for _ in range(200):
        time.sleep(0.05)

program._command = lambda name: work
sys.argv = ["visavis"]
sys.exit(program.entry_point())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to send")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_end_asked_for_within_a_librarys_callback_is_not_lost(
    number: signal.Signals, status: int
) -> None:
    result = subprocess.run(
        [sys.executable, "-c", CALLED_BACK.format(number=int(number))],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (result.returncode, result.stdout) == (status, "went on\n")
    assert "Traceback" not in result.stderr


def test_a_refusal_has_status_1_and_one_line_from_the_outside_too(tmp_path: Path) -> None:
    result = visavis("render", "--audio", "gone.wav", "-o", "film.mp4", folder=tmp_path)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "visavis: gone.wav: no such file.\n"


def test_threads_are_told_not_to_spin_before_anything_could_start_them() -> None:
    program = (
        "import os, sys, app\n"
        "assert not {'numpy', 'numba', 'torch'} & set(sys.modules)\n"
        "print(os.environ['OPENBLAS_NUM_THREADS'], os.environ['OMP_WAIT_POLICY'])"
    )
    bare = {
        key: value
        for key, value in os.environ.items()
        if key not in ("OPENBLAS_NUM_THREADS", "OMP_WAIT_POLICY")
    }
    said = subprocess.run(
        [sys.executable, "-c", program], env=bare, capture_output=True, text=True, check=True
    )
    assert said.stdout.split() == ["1", "PASSIVE"]
