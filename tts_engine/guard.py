"""Watches what the model says of one segment: tells speech from the ways in which a language model goes wrong. Pure.

Enters: frames as they are made, PCM as it is decoded, the end. Leaves: the first fault found. Never: an opinion on how
fast tokens come; a slow, steady server is no fault.
"""

from collections import deque
from collections.abc import Iterable
from enum import StrEnum

import numpy as np

from tts_engine.codec.decoder import Pcm
from tts_engine.codec.frames import Frame


class Fault(StrEnum):
    """What went wrong with a segment."""

    NO_AUDIO = "no_audio"
    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"
    LOOP = "loop"
    SILENCE = "silence"
    BROKEN_OFF = "broken_off"


# The thresholds, each with its reason. Expected seconds are a narrator's average for the text (text/languages.py).
SHORT_SHARE = 0.25
"""Less than this share of the expected time is too short. A fast speaker needs half of it; a model that stops early
usually does so in its first words."""
SHORT_FROM_S = 3.0
"""Texts expected to take less are never too short: one word, said quickly, is half of what an average says."""
LONG_SHARE, LONG_SLACK_S = 3.0, 8.0
"""More than three times the expected time and eight seconds is too long: a very slow reading with laughs and pauses
stays below, and a model that does not stop passes it soon."""
LOOP_FRAMES = 36
"""So many frames (3 s) that repeat what came one period before are a loop; no speech does that with the same codes."""
LOOP_PERIODS = range(1, 37)
"""Periods looked for, in frames: from a held sound to a phrase of 3 s."""
LOOP_SLOTS = (0, 1, 4)
"""The coarse codes, levels 0 and 1. The fine ones differ in a loop that is heard as one."""
SILENCE_S = 4.0
"""A pause inside a segment that no reader makes."""
SILENCE_PEAK = 164
"""Samples up to here are silence: -46 dBFS, above the codec's noise floor and below quiet breath."""


class Guard:
    """One segment's watch. `fault` is the first one found, None while all is well."""

    def __init__(self, *, expected_s: float, frame_s: float, sample_rate: int) -> None:
        """expected_s: of the text, seconds. frame_s: seconds a frame."""
        self.fault: Fault | None = None
        self.frames = 0
        self._expected_s = expected_s
        self._frame_s = frame_s
        self._silence_samples = round(SILENCE_S * sample_rate)
        self._quiet = 0
        self._recent: deque[tuple[int, ...]] = deque(maxlen=LOOP_PERIODS[-1])
        self._repeats = [0] * (LOOP_PERIODS[-1] + 1)

    def saw(self, frames: Iterable[Frame]) -> None:
        """The next frames that the model made."""
        for frame in frames:
            self.frames += 1
            if self._loops(tuple(frame[slot] for slot in LOOP_SLOTS)):
                self._found(Fault.LOOP)
        if self.frames * self._frame_s > LONG_SHARE * self._expected_s + LONG_SLACK_S:
            self._found(Fault.TOO_LONG)

    def heard(self, pcm: Pcm) -> None:
        """The next samples, int16."""
        loud = np.flatnonzero(np.abs(pcm.astype(np.int32)) > SILENCE_PEAK)
        if not loud.size:
            self._quiet += pcm.size
        else:
            inside = np.diff(loud).max(initial=0)
            if max(self._quiet + int(loud[0]), int(inside)) > self._silence_samples:
                self._found(Fault.SILENCE)
            self._quiet = pcm.size - 1 - int(loud[-1])
        if self._quiet > self._silence_samples:
            self._found(Fault.SILENCE)

    def end(self) -> None:
        """The model has ended its speech."""
        if self.frames == 0:
            self._found(Fault.NO_AUDIO)
        elif self._expected_s >= SHORT_FROM_S and self.frames * self._frame_s < SHORT_SHARE * self._expected_s:
            self._found(Fault.TOO_SHORT)

    def _loops(self, codes: tuple[int, ...]) -> bool:
        looping = False
        count = len(self._recent)
        for period in LOOP_PERIODS:
            if period > count:
                break
            same = self._recent[count - period] == codes
            self._repeats[period] = self._repeats[period] + 1 if same else 0
            looping = looping or self._repeats[period] >= max(LOOP_FRAMES, 2 * period)
        self._recent.append(codes)
        return looping

    def _found(self, fault: Fault) -> None:
        if self.fault is None:
            self.fault = fault
