"""What recording and being steered cost a live run: `python -m tests.benchmarks.outputs_cost`.

Each case is a run of its own, twice over in turn, since other programs are at work as well. The
crowd is a process of its own with eight clients that send commands as fast as they are answered, a
WebSocket, eight strangers without the token, and fifty connections that never say what they want.
"""

import contextlib
import http.client
import json
import multiprocessing
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from tests.app.test_microphone import speechlike, write_wav

ROOT = Path(__file__).parents[2]
SECONDS = 15
CASES: dict[str, tuple[str, ...]] = {
    "alone": (),
    "recording MP4": ("--record", "film.mp4"),
    "recording WebM with alpha": ("--record", "film.webm"),
    "steered, nobody asks": ("--control", "0", "--control-file", "control.json"),
    "steered, a crowd": ("--control", "0", "--control-file", "control.json"),
}


def crowd(url: str, token: str, counts: "multiprocessing.Queue[int]") -> None:
    """Ask for a while; how often it was answered."""
    port, until = int(url.rpartition(":")[2]), time.perf_counter() + SECONDS
    answered = [0] * 17

    def ask(place: int, token: str) -> None:
        while time.perf_counter() < until:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            with contextlib.suppress(OSError, http.client.HTTPException):
                while time.perf_counter() < until:
                    body = json.dumps({"gaze": {"yaw": answered[place] % 20}})
                    connection.request(
                        "POST", "/controls", body, {"Authorization": f"Bearer {token}"}
                    )
                    connection.getresponse().read()
                    answered[place] += 1
            connection.close()

    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(50)]
    clients = [
        threading.Thread(target=ask, args=(place, token if place < 8 else "wrong"))
        for place in range(16)
    ]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    for connection in silent:
        connection.close()
    counts.put(sum(answered[:8]))


def run(folder: Path, options: tuple[str, ...], *, with_crowd: bool) -> tuple[dict, int]:
    """The statistics of one run, and how many commands were answered in it."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "app", "live", "--display", "none", "--size", "512"),
            *("--audio", str(folder / "speech.wav"), "--seconds", str(SECONDS)),
            *("--stats", str(folder / "stats.json")),
            *(str(folder / word) if "." in word else word for word in options),
        ],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    answered = 0
    if with_crowd:
        file = folder / "control.json"
        while not file.exists():
            time.sleep(0.1)
        time.sleep(4.0)  # the face is there
        told = json.loads(file.read_text())
        counts: multiprocessing.Queue[int] = multiprocessing.Queue()
        clients = multiprocessing.Process(target=crowd, args=(told["url"], told["token"], counts))
        clients.start()
        answered = counts.get()
        clients.join()
    assert process.wait(120) == 0
    return json.loads((folder / "stats.json").read_text()), answered


def main() -> None:
    """Print a table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_wav(folder / "speech.wav", speechlike(60.0))
        for _ in range(2):
            for case, options in CASES.items():
                statistics, answered = run(folder, options, with_crowd="crowd" in case)
                frame = statistics["frame_ms"]
                recorded = statistics.get("recording", {})
                print(
                    f"{case:28s} {statistics['fps']:5.1f} fps  p50 {frame['p50']:5.1f}  "
                    f"p95 {frame['p95']:5.1f}  p99 {frame['p99']:5.1f} ms  "
                    f"rtf {statistics['generator']['rtf']:.2f}  "
                    f"starved {statistics['generator']['starved']:4d}  "
                    f"answered {answered:4d}  left out {recorded.get('dropped', 0)}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
