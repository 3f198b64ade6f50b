"""Audio on the disk without loss: FLAC, by libsndfile."""

import io
from pathlib import Path

import soundfile

from tts_engine.audio.blocks import Pcm
from tts_engine.errors import OrpheusError


def to_flac(pcm: Pcm, sample_rate: int) -> bytes:
    """int16 [T], T > 0, without loss."""
    out = io.BytesIO()
    soundfile.write(out, pcm, sample_rate, format="FLAC", subtype="PCM_16")
    return out.getvalue()


def from_flac(path: Path) -> Pcm:
    """int16 [T]. Raises OrpheusError for a file that is damaged or gone."""
    try:
        pcm, _ = soundfile.read(path, dtype="int16")
    except soundfile.LibsndfileError as exc:
        raise OrpheusError(f"{path} cannot be read: {exc}. Have the segment spoken again.") from exc
    samples: Pcm = pcm
    return samples
