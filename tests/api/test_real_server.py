"""The whole way with the real llama.cpp server behind it."""

import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.support import tiny_snac
from tests.support.llama_server import LlamaServer
from tests.support.paths import PROJECT_ROOT
from tts_engine.codec.frames import FrameAssembler
from tts_engine.codec.tokens import TokenParser
from tts_engine.llm.dialects import DIALECTS, Sampling, body
from tts_engine.llm.prompt import Speech, prompt

TEXTS = {
    "tara": "The quick brown fox jumps over the lazy dog.",
    "유나": "안녕하세요, 오늘은 날씨가 참 좋네요.",
    "ऋतिका": "नमस्ते, आज मौसम बहुत अच्छा है।",
}


def codes_of(llama: LlamaServer, text: str, voice: str, seed: int) -> np.ndarray:
    """What the model says to this prompt, asked for without this project's server."""
    dialect = DIALECTS["llama.cpp"]
    sampling = Sampling(temperature=0.6, top_p=0.9, max_tokens=8192, seed=seed)
    request = body(dialect, "x", prompt(Speech(text, voice), "training", dialect), sampling) | {"stream": False}
    answer = httpx.post(f"{llama.url}/v1/completions", json=request, timeout=60).json()
    frames = FrameAssembler().feed(TokenParser().feed(answer["choices"][0]["text"]))
    return np.array(frames, np.int32)


def say(real: httpx.Client, text: str, voice: str) -> np.ndarray:
    request = {"input": text, "voice": voice, "response_format": "pcm", "seed": 7}
    return np.frombuffer(real.post("/v1/audio/speech", json=request).content, "<i2")


def test_three_at_once_are_heard_to_the_last_sample(real: httpx.Client, llama: LlamaServer) -> None:
    """Counted, not compared: llama.cpp rounds otherwise when it computes several requests together."""
    with ThreadPoolExecutor(3) as pool:
        heard = list(pool.map(lambda item: say(real, item[1], item[0]), TEXTS.items()))
    for (voice, text), pcm in zip(TEXTS.items(), heard, strict=True):
        assert len(pcm) == len(codes_of(llama, text, voice, seed=7)) * 2048


@pytest.mark.parametrize("voice", TEXTS)
def test_seeded_speech_repeats_and_is_what_the_model_said(
    real: httpx.Client, llama: LlamaServer, weights: Path, voice: str
) -> None:
    pcm = say(real, TEXTS[voice], voice)
    assert np.array_equal(pcm, say(real, TEXTS[voice], voice))
    reference = tiny_snac.reference_pcm(weights, codes_of(llama, TEXTS[voice], voice, seed=7))
    assert len(pcm) == len(reference)
    assert np.abs(pcm.astype(int) - reference).max() <= 1


def test_status_names_the_server_and_its_model(real: httpx.Client) -> None:
    status = real.get("/status").json()
    assert status["ready"] is True
    assert status["inference_server"]["dialect"] == "llama.cpp"
    assert status["codec"]["decoder"] in ("openvino", "torch")
    assert status["hardware"]["cores"] >= 1
    assert status["plan"]["workers"] >= 1


def test_readme_s_curl_example(real: httpx.Client) -> None:
    text = (PROJECT_ROOT / "README.md").read_text(encoding="utf-8")
    body_text = re.search(r"-d '(\{.*\})'", text)
    assert body_text
    answer = real.post("/v1/audio/speech", content=body_text[1], headers={"content-type": "application/json"})
    assert answer.status_code == 200
    assert answer.content[:4] == b"RIFF"
    assert json.loads(body_text[1])["voice"] == "tara"


def test_readme_s_python_example(real: httpx.Client, tmp_path: Path) -> None:
    text = (PROJECT_ROOT / "README.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert code
    program = code[1].replace("http://localhost:5005", str(real.base_url).rstrip("/"))
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "hello.wav").read_bytes()[:4] == b"RIFF"
