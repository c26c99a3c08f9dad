"""A file manager's end of drag and drop under X11 (XDND 5): files dropped onto another program's
window. https://www.freedesktop.org/wiki/Specifications/XDND/"""

import time
from pathlib import Path
from typing import Any

from Xlib import X
from Xlib.display import Display
from Xlib.protocol import event

PATIENCE_S = 60.0


def drop(window: int, *paths: Path) -> None:
    """Drop files into the middle of the window; returns once the program has taken them."""
    display = Display()
    try:
        _Source(display, window, paths).drop()
    finally:
        display.close()


class _Source:
    def __init__(self, display: Any, window: int, paths: tuple[Path, ...]) -> None:
        self._display = display
        self._target = display.create_resource_object("window", window)
        self._own = display.screen().root.create_window(0, 0, 1, 1, 0, X.CopyFromParent)
        uris = [path.absolute().as_uri() for path in paths]
        self._dropped = "".join(f"{uri}\r\n" for uri in uris).encode()

    def _atom(self, name: str) -> int:
        return self._display.intern_atom(name)

    def _send(self, name: str, *data: int) -> None:
        told = [self._own.id, *data]
        told += [0] * (5 - len(told))
        self._target.send_event(
            event.ClientMessage(window=self._target, client_type=self._atom(name), data=(32, told))
        )
        self._display.flush()

    def drop(self) -> None:
        self._own.set_selection_owner(self._atom("XdndSelection"), X.CurrentTime)
        inside = self._target.get_geometry()
        corner = self._target.translate_coords(self._display.screen().root, 0, 0)
        x, y = inside.width // 2 - corner.x, inside.height // 2 - corner.y
        self._send("XdndEnter", 5 << 24, self._atom("text/uri-list"))
        self._send("XdndPosition", 0, x << 16 | y, X.CurrentTime, self._atom("XdndActionCopy"))
        status = self._wait_for("XdndStatus")
        assert status[1] & 1, "the window takes no files"
        self._send("XdndDrop", 0, X.CurrentTime)
        finished = self._wait_for("XdndFinished")
        # The lowest bit, says the specification; GLFW 3.4 gives the length of the names.
        assert finished[1], "the window did not take them"

    def _wait_for(self, name: str) -> list[int]:
        """Data of that message; meanwhile whoever asks gets the names of the files."""
        end = time.perf_counter() + PATIENCE_S
        while time.perf_counter() < end:
            if not self._display.pending_events():
                time.sleep(0.01)
                continue
            told = self._display.next_event()
            if told.type == X.SelectionRequest:
                self._give(told)
            elif told.type == X.ClientMessage and told.client_type == self._atom(name):
                return list(told.data[1])
        raise AssertionError(f"no {name} in {PATIENCE_S:.0f} s")

    def _give(self, request: Any) -> None:
        request.requestor.change_property(request.property, request.target, 8, self._dropped)
        request.requestor.send_event(
            event.SelectionNotify(
                time=request.time,
                requestor=request.requestor,
                selection=request.selection,
                target=request.target,
                property=request.property or X.NONE,
            )
        )
        self._display.flush()
