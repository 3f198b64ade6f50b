"""The routes of jobs over the fake engine: shapes, files, errors."""

import io
import itertools
import json
from collections.abc import AsyncIterator
from typing import Any

import av
import httpx
import numpy as np
import pytest
import soundfile
from fastapi import FastAPI

from tests.jobs.epubs import epub
from tests.jobs.fakes import FakeEngine, text
from tts_engine.api import errors, jobs
from tts_engine.jobs.runner import JobRunner

pytestmark = pytest.mark.anyio
JOBS = "/v1/audio/jobs"


@pytest.fixture
async def http(engine: FakeEngine, runner: JobRunner) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI(strict_content_type=False, max_body_size=1 << 16)
    app.state.engine, app.state.jobs = engine, runner
    errors.install(app)
    app.include_router(jobs.router)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test", timeout=60) as client:
        yield client


async def done(http: httpx.AsyncClient, job_id: str) -> dict[str, Any]:
    """Follow the events to their end."""
    events = await http.get(f"{JOBS}/{job_id}/events")
    assert events.headers["content-type"].startswith("text/event-stream")
    last = [line for line in events.text.splitlines() if line.startswith("data: ")][-1]
    job: dict[str, Any] = json.loads(last.removeprefix("data: "))
    assert job["state"] == "done", job
    return job


async def test_a_text_becomes_a_file(http: httpx.AsyncClient) -> None:
    body = {"input": text(4), "voice": "leo", "response_format": "flac", "seed": 3, "title": "On", "speed": None}
    answer = await http.post(JOBS, json=body)
    assert answer.status_code == 202
    made = answer.json()
    assert (made["object"], made["state"], made["title"]) == ("audio.job", "queued", "On")
    assert answer.headers["location"] == f"{JOBS}/{made['id']}"
    job = await done(http, made["id"])
    assert job["segments_done"] == job["segments_total"] > 1
    assert job["real_time_factor"] > 0
    assert (job["time_left_s"], job["problems"], job["files"]) == (0.0, [], ["audio.flac"]) or job[
        "time_left_s"
    ] is None
    assert (await http.get(f"{JOBS}/{made['id']}")).json() == job
    listed = (await http.get(JOBS)).json()
    assert (listed["data"], listed["has_more"]) == ([job], False)
    file = await http.get(f"{JOBS}/{made['id']}/audio")
    assert file.headers["content-type"] == "audio/flac"
    assert 'filename="On.flac"' in file.headers["content-disposition"]
    pcm, rate = soundfile.read(io.BytesIO(file.content), dtype="int16")
    assert rate == 24_000
    raw = await http.get(f"{JOBS}/{made['id']}/audio", params={"format": "pcm"})
    assert np.array_equal(pcm, np.frombuffer(raw.content, "<i2"))
    part = await http.get(f"{JOBS}/{made['id']}/audio", headers={"Range": "bytes=0-3"})
    assert (part.status_code, part.content) == (206, b"fLaC")


async def test_segments_and_captions_say_when_each_is_heard(http: httpx.AsyncClient) -> None:
    body = {"input": text(3), "response_format": "wav", "speed": 2.0}
    job_id = (await http.post(JOBS, json=body)).json()["id"]
    await done(http, job_id)
    segments = (await http.get(f"{JOBS}/{job_id}/segments")).json()["data"]
    assert [row["number"] for row in segments] == list(range(len(segments)))
    assert all(row["start_s"] < row["end_s"] for row in segments)
    assert all(a["end_s"] < b["start_s"] for a, b in itertools.pairwise(segments))
    wav = (await http.get(f"{JOBS}/{job_id}/audio")).content
    pcm, rate = soundfile.read(io.BytesIO(wav))
    assert len(wav) == 44 + 2 * len(pcm)
    assert segments[-1]["end_s"] < len(pcm) / rate < segments[-1]["end_s"] + 0.5
    srt = (await http.get(f"{JOBS}/{job_id}/captions.srt")).text
    vtt = await http.get(f"{JOBS}/{job_id}/captions.vtt")
    assert srt.count(" --> ") == vtt.text.count(" --> ") == len(segments)
    assert vtt.text.startswith("WEBVTT")
    assert vtt.headers["content-type"] == "text/vtt; charset=utf-8"
    one = await http.get(f"{JOBS}/{job_id}/segments/1/audio")
    assert one.content[:4] == b"fLaC"
    page = (await http.get(f"{JOBS}/{job_id}/segments", params={"first": 1, "limit": 1})).json()
    assert ([row["number"] for row in page["data"]], page["has_more"]) == ([1], True)


async def test_a_book_becomes_an_audiobook_with_chapters(http: httpx.AsyncClient) -> None:
    book = epub({"One": "<p>It began.</p>", "Two": "<p>It went on.</p>", "Three": "<p>It ended.</p>"}, title="A Bøøk")
    form = {"voice": "tara", "response_format": "m4b", "seed": "5", "clean": "false"}
    answer = await http.post(JOBS, data=form, files={"file": ("b.epub", book, "application/epub+zip")})
    assert answer.status_code == 202, answer.text
    made = await done(http, answer.json()["id"])
    assert made["title"] == "A Bøøk"
    assert made["files"] == ["audio.m4b"]
    assert [chapter["title"] for chapter in made["chapters"]] == ["One", "Two", "Three"]
    file = await http.get(f"{JOBS}/{made['id']}/audio")
    assert file.headers["content-type"] == "audio/mp4"
    with av.open(io.BytesIO(file.content)) as container:
        marks = container.chapters()
        assert [mark["metadata"]["title"] for mark in marks] == ["One", "Two", "Three"]
        starts = [float(mark["start"] * mark["time_base"]) for mark in marks if mark["time_base"]]
        assert starts == pytest.approx([chapter["start_s"] for chapter in made["chapters"]], abs=0.002)
        assert container.metadata["title"] == "A Bøøk"


async def test_an_audiobook_can_be_made_of_a_finished_job(http: httpx.AsyncClient, engine: FakeEngine) -> None:
    engine.open.clear()
    job_id = (await http.post(JOBS, json={"input": text(2, chapters=2)})).json()["id"]
    early = await http.get(f"{JOBS}/{job_id}/audio", params={"format": "m4b"})
    assert (early.status_code, early.json()["error"]["code"]) == (409, "wrong_state")
    nothing = await http.get(f"{JOBS}/{job_id}/audio")
    assert (nothing.status_code, nothing.json()["error"]["code"]) == (404, "audio_not_found")
    engine.open.set()
    await done(http, job_id)
    for _ in range(2):
        file = await http.get(f"{JOBS}/{job_id}/audio", params={"format": "m4b"})
        assert file.content[4:8] == b"ftyp"
    assert (await http.get(f"{JOBS}/{job_id}")).json()["files"] == ["audio.m4b", "audio.mp3"]


async def test_the_events_of_an_ended_job_are_not_asked_for_for_ever(http: httpx.AsyncClient) -> None:
    job_id = (await http.post(JOBS, json={"input": "Short."})).json()["id"]
    await done(http, job_id)
    events = (await http.get(f"{JOBS}/{job_id}/events")).text
    last = [line for line in events.splitlines() if line.startswith("id: ")][-1].removeprefix("id: ")
    assert (await http.get(f"{JOBS}/{job_id}/events", headers={"Last-Event-ID": last})).status_code == 204


async def test_pause_resume_cancel_regenerate_delete(http: httpx.AsyncClient, engine: FakeEngine) -> None:
    engine.open.clear()
    job_id = (await http.post(JOBS, json={"input": text(3)})).json()["id"]
    states = [(await http.post(f"{JOBS}/{job_id}/{verb}")).json()["state"] for verb in ("pause", "resume")]
    assert states == ["paused", "queued"]
    engine.open.set()
    await done(http, job_id)
    again = await http.post(f"{JOBS}/{job_id}/segments/1/regenerate", json={"seed": 12})
    assert again.status_code == 202
    await done(http, job_id)
    rows = (await http.get(f"{JOBS}/{job_id}/segments")).json()["data"]
    assert [row["take"] for row in rows] == [0, 1, *[0] * (len(rows) - 2)]
    assert rows[1]["seed"] == 12
    assert (await http.post(f"{JOBS}/{job_id}/segments/1/regenerate")).status_code == 202
    missing = await http.post(f"{JOBS}/{job_id}/segments/999/regenerate")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "segment_not_found")
    await done(http, job_id)
    assert (await http.post(f"{JOBS}/{job_id}/cancel")).status_code == 409
    assert (await http.delete(f"{JOBS}/{job_id}")).json()["deleted"] is True
    gone = await http.get(f"{JOBS}/{job_id}")
    assert (gone.status_code, gone.json()["error"]["code"]) == (404, "job_not_found")


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({}, 400, "input"),
        ({"input": "  "}, 400, "input"),
        ({"input": "x", "voice": "nobody"}, 400, "voice"),
        ({"input": "x", "response_format": "midi"}, 400, "response_format"),
        ({"input": "x", "response_format": "m4b", "sample_rate": 9999}, 400, "sample_rate"),
        ({"input": "x", "max_tokens": 10**9}, 400, "max_tokens"),
        ({"input": "x", "language": "english"}, 400, "language"),
        ({"input": "[pause:99s] x"}, 400, "input"),
        ([1], 400, None),
    ],
)
async def test_what_cannot_be_done_is_said_at_once(
    http: httpx.AsyncClient, body: object, status: int, param: str | None
) -> None:
    answer = await http.post(JOBS, json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (status, param), error
    assert (await http.get(JOBS)).json()["data"] == []


async def test_bad_bodies_and_files(http: httpx.AsyncClient) -> None:
    assert (await http.post(JOBS, content=b"{")).json()["error"]["code"] == "invalid_json"
    for name, data in (("x.exe", b"MZ"), ("x.epub", b"no zip"), ("x.txt", b"\xff\xfe\x00"), ("x.txt", b"")):
        answer = await http.post(JOBS, files={"file": (name, data)})
        assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error"), name
    lone = await http.post(JOBS, content=b'{"input": "half \\ud83d a pair"}')
    assert lone.status_code == 202


async def test_a_book_may_be_larger_than_a_speech_request_but_not_without_end(http: httpx.AsyncClient) -> None:
    large = b"Hello there. " * 20_000
    answer = await http.post(JOBS, files={"file": ("large.txt", large)})
    assert answer.status_code == 202
    await http.post(f"{JOBS}/{answer.json()['id']}/cancel")
    huge = await http.post(JOBS, content=b"0" * (jobs.MAX_BODY_BYTES + 1))
    assert huge.status_code == 413
