"""Undo and redo of what the sliders set."""

from collections import deque

from app.preferences import Look

MOST_STEPS = 200


class History:
    """The looks before this one and after it. A drag of a slider is one step."""

    def __init__(self, look: Look) -> None:
        self._settled = self._now = look
        self._before: deque[Look] = deque(maxlen=MOST_STEPS)
        self._after: list[Look] = []

    @property
    def can_undo(self) -> bool:
        return bool(self._before) or self._now != self._settled

    @property
    def can_redo(self) -> bool:
        return bool(self._after)

    def observe(self, look: Look, *, held: bool) -> None:
        """How things stand in this frame. `held`: a button or key is down, so it may change on."""
        self._now = look
        if not held and look != self._settled:
            self._before.append(self._settled)
            self._after.clear()
            self._settled = look

    def undo(self) -> Look | None:
        """The look before the last change; None where there is none."""
        if self._now != self._settled:  # in the middle of a drag
            self._after = [self._now]
            self._now = self._settled
            return self._now
        if not self._before:
            return None
        self._after.append(self._settled)
        self._settled = self._now = self._before.pop()
        return self._now

    def redo(self) -> Look | None:
        """The look that was undone last; None where there is none."""
        if not self._after:
            return None
        self._before.append(self._settled)
        self._settled = self._now = self._after.pop()
        return self._now
