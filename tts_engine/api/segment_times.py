"""What was said when: segments with their place in the text and in the audio, and token counts, as JSON."""

from typing import Any

from tts_engine.api.speaking import Job
from tts_engine.synthesis import Report

BYTES_A_TOKEN = 4
"""Of English text with a Llama 3 vocabulary, about; only used where the inference server does not count."""


def segment_begun(job: Job, report: Report, index: int, source_rate: int) -> dict[str, Any]:
    """A segment of which audio is about to be heard."""
    segment = report.segments[index]
    return {
        "index": index,
        "text": segment.text,
        "start": segment.start,
        "end": segment.end,
        "start_s": round(report.begun[index] / source_rate / job.speed, 3),
    }


def segment_times(job: Job, report: Report, source_rate: int) -> list[dict[str, Any]]:
    """Every segment that has been heard. start, end: offsets in the cleaned input; start_s, end_s: seconds of the audio sent."""
    seconds = source_rate * job.speed
    return [
        {
            "index": index,
            "text": segment.text,
            "start": segment.start,
            "end": segment.end,
            "start_s": round(timing.start / seconds, 3),
            "end_s": round(timing.end / seconds, 3),
        }
        for index, (segment, timing) in enumerate(zip(report.segments, report.timings, strict=False))
    ]


def usage(report: Report) -> dict[str, int]:
    """Tokens as OpenAI counts them: text in, audio out. The text is estimated where the server did not count it."""
    text_bytes = sum(len(segment.text.encode()) for segment in report.segments)
    text_tokens = report.prompt_tokens or -(-text_bytes // BYTES_A_TOKEN)
    return {
        "input_tokens": text_tokens,
        "output_tokens": report.tokens,
        "total_tokens": text_tokens + report.tokens,
    }
