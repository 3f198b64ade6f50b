"""PCM of consecutive segments -> one PCM: natural pauses between them, crossfaded in silence, no word touched.

A request of one segment goes through byte by byte; so do the head of the first segment and the tail of the last one.
Between two segments the silence is brought to the length that the boundary asks for: where there is enough of it, the
end of one silence is crossfaded into the beginning of the other; where speech runs to the very edge, its last 5 ms are
mirrored behind it under a fade (a continuation without a step), and silence is put between.
Every sample of speech (levels.SPEECH_PEAK) leaves, in order, changed by nothing but the gain of its segment.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from tts_engine.audio.blocks import EMPTY, Pcm
from tts_engine.audio.levels import SPEECH_PEAK, Leveler, Loudness

Boundary = Literal["clause", "sentence", "paragraph"]

PAUSE_S: dict[Boundary, float] = {"clause": 0.15, "sentence": 0.35, "paragraph": 0.75}
"""From the last sample of speech before a boundary to the first one after it, s."""
CROSSFADE_S = 0.050
EDGE_S = 0.005
"""Shortest fade: what a segment without silence at its edge gets beyond its speech. No pause is shorter than two."""
HOLD_S = 1.0
"""Silence held back at most, as it may turn out to be the end of a segment; longer silence leaves at its far end."""
LISTEN_S = 0.4
"""Speech of a new segment held back until its loudness is judged; the first segment waits for nothing."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Where a segment is heard in the joined PCM."""

    start: int
    """First sample of its speech."""
    end: int
    """One past the last sample of its speech; equal to start where it has none."""


class Joiner:
    """Owns the silence that may still be trimmed, and the beginning of a segment until it can be joined.

    feed ... end_segment, feed ... end_segment, flush. The output depends on the samples and the ends alone.
    """

    def __init__(self, sample_rate: int = 24_000, *, match_levels: bool = True) -> None:
        self.timings: list[Timing] = []
        """One for every ended segment, in order."""
        self._rate = sample_rate
        self._edge, self._crossfade, self._hold = (round(s * sample_rate) for s in (EDGE_S, CROSSFADE_S, HOLD_S))
        self._listen = round(LISTEN_S * sample_rate) if match_levels else self._edge
        self._match_levels = match_levels
        self._leveler = Leveler(sample_rate)
        self._position = 0  # samples that have left
        self._gap: int | None = None  # pause asked for by the last boundary; None: before the first segment
        self._asked_pause = 0  # the part of it that the text asked for in so many words
        self._joined = False  # a segment has left, the next one has to be joined to it
        self._final = False
        # Of the segment that leaves now, before its gain:
        self._before_tail = EMPTY  # the last EDGE samples that have left, to be mirrored
        self._tail = EMPTY  # silence held back
        self._spilled = 0  # silence before the tail that has left already
        self._gain = 1.0
        self._start_segment()

    def _start_segment(self) -> None:
        self._open = False
        self._opening: Pcm | None = None  # what is held of a segment that is not joined yet
        self._speech_start: int | None = None
        self._speech_end = 0
        self._loudness = Loudness(self._rate)

    def final_segment(self) -> None:
        """Say that no segment follows the one that is open, or comes next: its silence is not held back any more."""
        self._final = True

    def feed(self, pcm: Pcm) -> list[Pcm]:
        """Take int16 [T], T >= 0, of the open segment; return the joined int16 pieces that may leave."""
        if not pcm.size:
            return []
        out: list[Pcm] = []
        if not self._open:
            out = self._open_segment()
        if self._opening is None:
            return out + self._pass(pcm)
        self._opening = np.concatenate([self._opening, pcm])
        return out + self._join(at_end=False)

    def end_segment(self, boundary: Boundary = "sentence", pause_s: float | None = None) -> list[Pcm]:
        """End the open segment (or an empty one). pause_s: the pause that the text asks for, instead of the boundary's.

        A segment without speech adds nothing but its pause; the longer of two pauses in a row counts.
        """
        out = self._join(at_end=True) if self._opening is not None else []
        start = self._position if self._speech_start is None else self._speech_start
        self.timings.append(Timing(start, max(start, self._speech_end)))
        self._leveler.add(self._loudness, self._gain)
        asked = 0 if pause_s is None else max(round(pause_s * self._rate), 2 * self._edge)
        self._asked_pause = max(asked, self._asked_pause)
        gap = asked or round(PAUSE_S[boundary] * self._rate)
        self._gap = gap if self._gap is None else max(gap, self._gap)
        self._start_segment()
        return out

    def flush(self) -> list[Pcm]:
        """End the last segment, its tail untouched; a pause that the text asks for behind it is kept."""
        asked = 0 if self._open else self._asked_pause
        out = self.end_segment() if self._open else []
        silence = self._spilled + self._tail.size
        out += self._emit(self._amplified(self._tail))
        self._tail = EMPTY
        return out + self._emit(np.zeros(max(0, asked - silence), np.int16))

    def _open_segment(self) -> list[Pcm]:
        self._open = True
        if self._joined:
            self._opening = EMPTY
            return []
        self._joined = True
        lead, self._asked_pause, self._gap = self._asked_pause, 0, None
        return self._emit(np.zeros(lead, np.int16))

    def _join(self, *, at_end: bool) -> list[Pcm]:
        """Let the opening of a segment leave once enough of its speech is here, or all that there will be."""
        assert self._opening is not None and self._gap is not None
        onset = _first_speech(self._opening)
        if onset is None:  # silence beyond the longest pause will never be heard
            self._opening = self._opening[-self._gap :]
            return []
        speech = self._opening[onset:]
        if speech.size < self._listen and not at_end:
            return []
        opening, self._opening = self._opening, None
        before = self._silence_before()
        gain = self._leveler.gain(speech[: self._listen]) if self._match_levels else 1.0
        gap = _gap(before, _amplify(self._silence_after(opening, onset), gain), self._gap_samples(), self._crossfade)
        self._gain, self._tail, self._spilled, self._before_tail = gain, EMPTY, 0, EMPTY
        self._asked_pause, self._gap = 0, None
        return self._emit(gap) + self._pass(speech)

    def _gap_samples(self) -> int:
        assert self._gap is not None
        return max(self._gap - self._spilled, 2 * self._edge)

    def _silence_before(self) -> Pcm:
        """The held tail, at least EDGE long: what is missing is the mirrored end of the segment."""
        missing = max(0, self._edge - self._tail.size)
        mirrored = np.concatenate([self._before_tail, self._tail])[::-1][:missing]
        return self._amplified(np.concatenate([self._tail, mirrored]))

    def _silence_after(self, opening: Pcm, onset: int) -> Pcm:
        """The silence before the speech, at least EDGE long: what is missing is the mirrored beginning."""
        missing = max(0, self._edge - onset)
        return np.concatenate([opening[:missing][::-1], opening[:onset]])

    def _pass(self, pcm: Pcm) -> list[Pcm]:
        """Let everything up to the last sample of speech leave, and of the silence behind it what exceeds HOLD_S."""
        self._loudness.feed(pcm)
        held = np.concatenate([self._tail, pcm])
        speech_end = _after_last_speech(pcm)
        leaving = 0
        if speech_end:
            leaving = self._tail.size + speech_end
            if self._speech_start is None:
                onset = _first_speech(pcm)
                assert onset is not None
                self._speech_start = self._position + self._tail.size + onset
            self._speech_end = self._position + leaving
            self._spilled = 0
        spill = held.size - leaving if self._final else max(0, held.size - leaving - self._hold)
        self._spilled += spill
        leaving += spill
        self._tail = held[leaving:]
        self._before_tail = np.concatenate([self._before_tail, held[:leaving]])[-self._edge :]
        return self._emit(self._amplified(held[:leaving]))

    def _amplified(self, pcm: Pcm) -> Pcm:
        return _amplify(pcm, self._gain)

    def _emit(self, pcm: Pcm) -> list[Pcm]:
        self._position += pcm.size
        return [pcm] if pcm.size else []


def _first_speech(pcm: Pcm) -> int | None:
    loud = _is_speech(pcm)
    first = int(loud.argmax()) if loud.size else 0
    return first if loud.size and loud[first] else None


def _after_last_speech(pcm: Pcm) -> int:
    from_end = _first_speech(pcm[::-1])
    return 0 if from_end is None else pcm.size - from_end


def _is_speech(pcm: Pcm) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return (pcm >= SPEECH_PEAK) | (pcm <= -SPEECH_PEAK)  # not abs: of -32768 int16 has none


def _amplify(pcm: Pcm, gain: float) -> Pcm:
    if gain == 1.0:
        return pcm
    louder: Pcm = np.clip(np.rint(pcm * np.float64(gain)), -32768, 32767).astype(np.int16)
    return louder


def _gap(before: Pcm, after: Pcm, samples: int, crossfade: int) -> Pcm:
    """Return int16 [samples]: `before` fading out from the start, `after` fading in to the end, zeros between.

    They overlap by `crossfade` samples where both are long enough: half of the pause from each, more from one where
    the other has less.
    """
    room = samples + crossfade
    from_before = min(before.size, room // 2, samples)
    from_after = min(after.size, room - from_before, samples)
    from_before = min(before.size, room - from_after, samples)
    mixed = np.zeros(samples, np.float64)
    mixed[:from_before] += before[:from_before] * _fade_in(from_before, crossfade)[::-1]
    mixed[samples - from_after :] += after[after.size - from_after :] * _fade_in(from_after, crossfade)
    gap: Pcm = np.clip(np.rint(mixed), -32768, 32767).astype(np.int16)
    return gap


def _fade_in(samples: int, crossfade: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Weights [samples]: rising over the first `crossfade` of them, then 1."""
    weights = np.ones(samples)
    rising = min(samples, crossfade)
    weights[:rising] = np.arange(1, rising + 1) / (rising + 1)
    return weights
