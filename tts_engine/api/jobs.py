"""/v1/audio/jobs: books and other long texts, spoken in the background."""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncGenerator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import FileResponse, JSONResponse, Response

from tts_engine.api.audio_response import AudioResponse
from tts_engine.api.job_bodies import JobFormat, RegenerateBody, planned, read_body, request_body_schema
from tts_engine.api.speech import engine_of
from tts_engine.audio.captions import to_srt, to_vtt
from tts_engine.audio.encoders import check
from tts_engine.errors import NotFoundError
from tts_engine.jobs.assembly import output_name
from tts_engine.jobs.joining import captions
from tts_engine.jobs.library import CODEC_RATE
from tts_engine.jobs.output import media_type
from tts_engine.jobs.records import Job, JobSegment
from tts_engine.jobs.runner import JobRunner

MAX_BODY_BYTES = 64 << 20
"""An EPUB with its pictures; the text in it has its own limit."""
HEARTBEAT_S = 15.0
"""Proxies close what is silent for 30 to 60 s."""

router = APIRouter(prefix="/v1/audio/jobs", tags=["jobs"])


def runner_of(request: Request) -> JobRunner:
    runner: JobRunner = request.app.state.jobs
    return runner


@router.post("", status_code=202, max_body_size=MAX_BODY_BYTES, openapi_extra=request_body_schema())
async def create_job(request: Request) -> JSONResponse:
    """Speak a long text or a book in the background: JSON with `input`, or a form with `file` (.txt, .md, .epub)."""
    runner = runner_of(request)
    body, upload = await read_body(request)
    job = await runner.submit(await asyncio.to_thread(planned, body, upload, engine_of(request)))
    location = f"{request.scope.get('root_path', '')}/v1/audio/jobs/{job.id}"
    return JSONResponse(await _described(runner, job), 202, {"Location": location})


@router.get("")
async def list_jobs(
    request: Request, limit: Annotated[int, Query(ge=1, le=100)] = 20, after: str | None = None
) -> dict[str, Any]:
    """The jobs, newest first; `after`: the id of the last one on the page before."""
    runner = runner_of(request)
    jobs = await runner.library.jobs(limit + 1, after)
    data = [await _described(runner, job) for job in jobs[:limit]]
    return {"object": "list", "data": data, "has_more": len(jobs) > limit}


@router.get("/{job_id}")
async def get_job(job_id: str, request: Request) -> dict[str, Any]:
    """A job as it stands."""
    runner = runner_of(request)
    return await _described(runner, await runner.library.job(job_id))


@router.get("/{job_id}/events", response_class=Response)
async def job_events(job_id: str, request: Request, last_event_id: Annotated[str | None, Header()] = None) -> Response:
    """Server-sent events: the job now and after every change, until it has ended.

    A browser that comes back after the end (Last-Event-ID) gets 204, which tells it to stop.
    """
    runner = runner_of(request)
    job = await runner.library.job(job_id)
    if job.ended and last_event_id == str(job.version):
        return Response(status_code=204)
    return AudioResponse(_events(runner, job_id), "text/event-stream")


@router.post("/{job_id}/pause")
async def pause_job(job_id: str, request: Request) -> dict[str, Any]:
    """Stop speaking at once; what is stored stays."""
    return await _described(runner_of(request), await runner_of(request).pause(job_id))


@router.post("/{job_id}/resume")
async def resume_job(job_id: str, request: Request) -> dict[str, Any]:
    """Go on with a paused job, or try again what failed."""
    return await _described(runner_of(request), await runner_of(request).resume(job_id))


@router.post("/{job_id}/cancel")
async def cancel_job(job_id: str, request: Request) -> dict[str, Any]:
    """End a job for good; what was spoken can still be heard until it is deleted."""
    return await _described(runner_of(request), await runner_of(request).cancel(job_id))


@router.delete("/{job_id}")
async def delete_job(job_id: str, request: Request) -> dict[str, Any]:
    """Forget a job, delete its files."""
    await runner_of(request).delete(job_id)
    return {"id": job_id, "object": "audio.job.deleted", "deleted": True}


@router.get("/{job_id}/segments")
async def list_segments(
    job_id: str,
    request: Request,
    first: Annotated[int, Query(ge=0, le=10**9)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
) -> dict[str, Any]:
    """The segments from number `first` on: text, state, when they are heard (seconds), what is wrong with them."""
    library = runner_of(request).library
    job = await library.job(job_id)
    rows = await library.segments(job_id, first, limit)
    second = CODEC_RATE * job.settings.speed
    data = [_described_segment(row, second) for row in rows]
    return {"object": "list", "data": data, "has_more": first + len(rows) < job.segments_total}


@router.get("/{job_id}/segments/{number}/audio", response_class=FileResponse)
async def segment_audio(job_id: str, number: int, request: Request) -> FileResponse:
    """One segment as it was spoken, FLAC."""
    path = await runner_of(request).library.segment_audio(job_id, _checked(number))
    return FileResponse(path, media_type="audio/flac", headers={"Cache-Control": "no-cache"})


@router.post("/{job_id}/segments/{number}/regenerate", status_code=202)
async def regenerate_segment(
    job_id: str, number: int, request: Request, body: RegenerateBody | None = None
) -> dict[str, Any]:
    """Have one segment spoken anew; its audio stays until the new one is there."""
    seed = None if body is None or body.seed == -1 else body.seed
    return await _described(runner_of(request), await runner_of(request).regenerate(job_id, _checked(number), seed))


@router.get("/{job_id}/audio", response_class=Response)
async def job_audio(
    job_id: str,
    request: Request,
    response_format: Annotated[JobFormat | None, Query(alias="format")] = None,
    follow: bool = False,
) -> Response:
    """The audio of the whole job, of what there is so far, or (`follow=true`) of what comes while it is made."""
    runner = runner_of(request)
    job = await runner.library.job(job_id)
    wanted = response_format or job.settings.format
    headers = {"Content-Disposition": f'inline; filename="{_file_name(job)}.{wanted}"'}
    if wanted == "m4b" or output_name(wanted) in await runner.library.outputs(job_id):
        path = await runner.render(job_id, wanted)
        return FileResponse(path, media_type=media_type(wanted), headers={**headers, "Cache-Control": "no-cache"})
    check(wanted, job.settings.sample_rate)
    if not follow and not (await runner.library.segments(job_id, 0, 1))[0].audible():
        raise NotFoundError("There is no audio yet: wait, or ask with follow=true.", code="audio_not_found")
    return AudioResponse(runner.library.encoded(job, wanted, follow=follow), media_type(wanted), headers)


@router.get("/{job_id}/captions.{kind}", response_class=Response)
async def job_captions(job_id: str, kind: Literal["srt", "vtt"], request: Request) -> Response:
    """Captions for the job's audio, as far as it is made."""
    library = runner_of(request).library
    job = await library.job(job_id)
    found = captions(await library.segments(job_id), CODEC_RATE, job.settings.speed)
    text, kind_of_media = (to_srt(found), "application/x-subrip") if kind == "srt" else (to_vtt(found), "text/vtt")
    return Response(text, media_type=f"{kind_of_media}; charset=utf-8", headers={"Cache-Control": "no-cache"})


async def _events(runner: JobRunner, job_id: str) -> AsyncGenerator[bytes]:
    async with contextlib.aclosing(runner.library.changes(job_id, HEARTBEAT_S)) as changes:
        async for job in changes:
            if job is None:
                yield b": still here\n\n"
            else:
                data = json.dumps(await _described(runner, job), ensure_ascii=False)
                yield f"id: {job.version}\ndata: {data}\n\n".encode()


async def _described(runner: JobRunner, job: Job) -> dict[str, Any]:
    library = runner.library
    settings = job.settings
    starts = await library.chapters(job.id)
    rows = await library.problems(job.id)
    audio_s = job.samples / CODEC_RATE
    return {
        "id": job.id,
        "object": "audio.job",
        "title": job.title,
        "state": job.state,
        "error": job.error or runner.note(job.id),
        "voice": settings.voice,
        "response_format": settings.format,
        "speed": settings.speed,
        "sample_rate": settings.sample_rate,
        "temperature": settings.sampling.temperature,
        "top_p": settings.sampling.top_p,
        "max_tokens": settings.sampling.max_tokens,
        "seed": settings.sampling.seed,
        "created_at": round(job.created, 3),
        "updated_at": round(job.updated, 3),
        "segments_total": job.segments_total,
        "segments_done": job.segments_done,
        "audio_s": round(audio_s, 3),
        "real_time_factor": round(job.running_s / audio_s, 4) if audio_s else None,
        "time_left_s": _time_left_s(job),
        "chapters": [
            {"title": title, "first_segment": first, "start_s": _seconds(start, CODEC_RATE * settings.speed)}
            for title, (first, start) in zip(job.chapters, starts, strict=True)
        ],
        "problems": [{"segment": row.number, "problem": row.problem} for row in rows],
        "files": sorted(await library.outputs(job.id)),
    }


def _described_segment(row: JobSegment, samples_a_second: float) -> dict[str, Any]:
    return {
        "number": row.number,
        "text": row.text,
        "voice": row.voice,
        "chapter": row.chapter,
        "state": row.state,
        "seed": row.seed,
        "take": row.take,
        "has_audio": row.file is not None,
        "audio_s": round(row.samples / CODEC_RATE, 3),
        "start_s": _seconds(row.start, samples_a_second),
        "end_s": _seconds(row.end, samples_a_second),
        "problem": row.problem,
    }


def _seconds(samples: int | None, samples_a_second: float) -> float | None:
    return None if samples is None else round(samples / samples_a_second, 3)


def _time_left_s(job: Job) -> float | None:
    """At the pace so far; None before there is one, and where nobody is at work."""
    if job.state not in ("queued", "running") or not job.chars_done or not job.running_s:
        return None
    return round(job.running_s / job.chars_done * (job.chars_total - job.chars_done), 1)


def _checked(number: int) -> int:
    if not 0 <= number < 2**31:
        raise NotFoundError(f"The job has no segment {number}.", param="number", code="segment_not_found")
    return number


def _file_name(job: Job) -> str:
    """Plain ASCII that no header and no file system minds."""
    return re.sub(r"[^A-Za-z0-9]+", "-", job.title)[:60].strip("-") or job.id
