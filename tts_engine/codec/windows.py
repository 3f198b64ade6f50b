"""Windows of frames: what the plain decode looks at to give out one frame.

Enters: frames. Leaves: one Window a frame, as soon as its right context is known. A window is 7 frames (49 tokens)
moving on by one (7 tokens), and its middle one is given out; at the true ends of the stream it is shorter.
"""

from dataclasses import dataclass

import numpy as np

from tts_engine.codec.decoder import CODES_A_FRAME, Codes


@dataclass(frozen=True, slots=True)
class Window:
    """The frames decoded together to give out one of them."""

    frames: Codes
    """int32 [W, 7], W = 2 context + 1, fewer where the stream begins or ends."""
    first: int
    """Place in the stream of frames[0]."""
    middle: int
    """Which of the frames is given out: context, fewer where the stream begins."""


class Windows:
    """Frames in, windows out."""

    def __init__(self, context: int) -> None:
        """context: frames needed on each side; 3 cover the 4757 samples that the 24 kHz decoder reaches."""
        self._context = context
        self._kept: Codes = np.zeros((0, CODES_A_FRAME), np.int32)
        self._first = 0
        self._next = 0

    def feed(self, frames: Codes) -> list[Window]:
        """frames: [K, 7], the next ones. Returns the windows whose right context they complete."""
        self._kept = np.concatenate([self._kept, frames])
        known = self._first + len(self._kept)
        windows = self._up_to(known - self._context)
        needless = max(0, self._next - self._context) - self._first
        self._kept, self._first = self._kept[needless:], self._first + needless
        return windows

    def flush(self) -> list[Window]:
        """The stream has ended. Returns the windows of its last frames."""
        return self._up_to(self._first + len(self._kept))

    def _up_to(self, end: int) -> list[Window]:
        windows = [self._window(frame) for frame in range(self._next, end)]
        self._next += len(windows)
        return windows

    def _window(self, frame: int) -> Window:
        first = max(0, frame - self._context)
        frames = self._kept[first - self._first : frame + self._context + 1 - self._first]
        return Window(frames, first, frame - first)
