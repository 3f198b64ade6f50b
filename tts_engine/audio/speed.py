"""int16 mono PCM -> the same speech faster or slower, its pitch kept, as a stream (FFmpeg's atempo: WSOLA)."""

from fractions import Fraction

import av
import numpy as np
from av.filter import Graph

from tts_engine.audio.blocks import Blocks, Pcm
from tts_engine.errors import OrpheusError, RequestError

MIN_SPEED = 0.25
MAX_SPEED = 4.0
BLOCK_SAMPLES = 512
"""Input of the filter at a time: 21 ms, a quarter of a codec frame. atempo holds back 40 to 190 ms by itself."""
PAD_S = 0.25
"""Silence behind the end: atempo swallows up to 65 ms of output at its flush (0.25x); what is too much is cut off."""


class Speed:
    """Owns the filter and the count of samples: n in, exactly round(n / speed) out once flushed.

    Until the flush the output may run a few ms ahead of or behind n / speed, as atempo's windows fall.
    Raises RequestError for a speed outside 0.25..4.0, OrpheusError if FFmpeg fails.
    """

    def __init__(self, speed: float, sample_rate: int) -> None:
        if not MIN_SPEED <= speed <= MAX_SPEED:  # also false for NaN
            raise RequestError(
                f"speed is {speed}: use {MIN_SPEED} to {MAX_SPEED}.", param="speed", code="invalid_value"
            )
        self._speed = Fraction(speed)
        self._sample_rate = sample_rate
        self._blocks = Blocks(BLOCK_SAMPLES)
        self._fed = 0
        self._pushed = 0
        self._made = 0
        try:
            self._graph = _atempo(speed, sample_rate)
        except av.FFmpegError as exc:
            raise OrpheusError(f"FFmpeg could not set up speed {speed}: {exc}.") from exc

    def feed(self, pcm: Pcm) -> list[Pcm]:
        """Take int16 [T], T >= 0; return int16 pieces of the changed speech."""
        self._fed += pcm.size
        return self._filter(self._blocks.feed(pcm))

    def flush(self) -> list[Pcm]:
        """Return the rest: the whole output is then exactly as long as it should be."""
        wanted = round(self._fed / self._speed)
        if not wanted:
            return []
        pad = np.zeros(round(PAD_S * self._sample_rate), np.int16)
        rest = self._filter([*self._blocks.flush(), pad], wanted=wanted, end=True)
        missing = wanted - self._made
        if missing > 0:  # never seen; the length is promised all the same
            rest.append(np.zeros(missing, np.int16))
            self._made = wanted
        return rest

    def _filter(self, blocks: list[Pcm], *, wanted: int | None = None, end: bool = False) -> list[Pcm]:
        try:
            for block in blocks:
                self._graph.push(self._frame(block))
            if end:
                self._graph.push(None)
            pieces = self._pull()
        except av.FFmpegError as exc:
            raise OrpheusError(f"FFmpeg could not change the speed to {float(self._speed)}: {exc}.") from exc
        return self._count(pieces, wanted)

    def _pull(self) -> list[Pcm]:
        pieces: list[Pcm] = []
        while True:
            try:
                frame = self._graph.pull()
            except (av.BlockingIOError, av.EOFError):  # FFmpeg's words for "feed me" and "that was all"
                return pieces
            pieces.append(frame.to_ndarray()[0].astype(np.int16, copy=False))

    def _count(self, pieces: list[Pcm], wanted: int | None) -> list[Pcm]:
        kept = []
        for piece in pieces:
            piece = piece if wanted is None else piece[: max(0, wanted - self._made)]
            self._made += piece.size
            if piece.size:
                kept.append(piece)
        return kept

    def _frame(self, block: Pcm) -> av.AudioFrame:
        frame = av.AudioFrame.from_ndarray(block[None], format="s16", layout="mono")
        frame.sample_rate = self._sample_rate
        frame.pts = self._pushed
        self._pushed += block.size
        return frame


def _atempo(speed: float, sample_rate: int) -> Graph:
    graph = Graph()
    graph.threads = 1  # atempo cannot use more, and a pool of its own would stand beside the decoder's threads
    nodes = [graph.add_abuffer(sample_rate=sample_rate, format="s16", layout="mono")]
    nodes += [graph.add("atempo", repr(factor)) for factor in factors(speed)]
    graph.link_nodes(*nodes, graph.add("abuffersink")).configure()
    return graph


def factors(speed: float) -> list[float]:
    """Return stages within 0.5..2.0 whose product is `speed`: above 2 one stage of atempo skips samples."""
    stages = []
    while not 0.5 <= speed <= 2.0:
        stage = 2.0 if speed > 1 else 0.5
        stages.append(stage)
        speed /= stage
    return [*stages, speed]
