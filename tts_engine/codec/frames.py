"""Token numbers in, whole frames out: seven codes, one for each slot.

A token carries its slot itself (N = 10 + 4096 x slot + code), so a lost, doubled or foreign token costs at most the
frame it stands in: the next token of slot 0 begins a new one. Never guesses a code and never clamps one.
Layout: Orpheus-TTS (canopyai), slots 0..6 of a SNAC 24 kHz frame.
"""

from collections.abc import Iterable

SLOTS = 7
CODES = 4096
"""Entries of a SNAC codebook: legal codes are 0..4095, 0 included."""
FIRST_AUDIO_TOKEN = 10
END_OF_SPEECH = 2

Frame = tuple[int, ...]
"""Seven codes 0..4095 in slot order."""


class FrameAssembler:
    """Puts codes into the slots of a frame.

    ended: end of speech was read; whatever follows is no audio and is ignored.
    tokens: audio tokens read. dropped: those of them that did not become part of a frame.
    """

    def __init__(self) -> None:
        self.ended = False
        self.tokens = 0
        self._used = 0
        self._codes: list[int] = []
        self._lost = True  # until a token of slot 0 is seen

    @property
    def dropped(self) -> int:
        return self.tokens - self._used - len(self._codes)

    def feed(self, tokens: Iterable[int]) -> list[Frame]:
        """tokens: numbers N of <custom_token_N>. Returns the frames that are now complete."""
        frames = []
        for token in tokens:
            if self.ended:
                break
            if token < FIRST_AUDIO_TOKEN:
                self.ended = token == END_OF_SPEECH
                continue  # the others (3..7 open and close text and speech) say nothing about audio
            self.tokens += 1
            slot, code = divmod(token - FIRST_AUDIO_TOKEN, CODES)
            if self._place(slot, code):
                frames.append(tuple(self._codes))
                self._used += SLOTS
                self._codes.clear()
                self._lost = True
        return frames

    def flush(self) -> list[Frame]:
        """The end of the stream: an unfinished frame is dropped."""
        self._codes.clear()
        return []

    def _place(self, slot: int, code: int) -> bool:
        """Put a code in its slot; True when the frame is complete."""
        codes = self._codes
        if slot == 0:
            codes[:] = [code]
            self._lost = False
        elif self._lost:
            pass
        elif slot == len(codes) and slot < SLOTS:
            codes.append(code)
        elif slot == len(codes) - 1 and code == codes[-1]:
            pass  # the same token twice: the frame is whole without the second one
        else:
            codes.clear()
            self._lost = True
        return len(codes) == SLOTS
