"""All rooms, put together once for a process: what the web server and the command line both stand on.

A missing inference server or missing weights do not stop the start: `problems()` says what is missing and what to do,
`synthesizer()` raises it as NotReadyError, and weights that could not be fetched are tried again later.
"""

import asyncio
import logging
import time

from tts_engine.admission import Admission
from tts_engine.cache import SegmentCache
from tts_engine.codec.batcher import Batcher
from tts_engine.codec.decoder import Decoder
from tts_engine.codec.frames import SLOTS
from tts_engine.codec.load import load_decoder
from tts_engine.config import ROOT, Settings
from tts_engine.errors import CodecError, NotReadyError
from tts_engine.hardware import Hardware, detect, plan
from tts_engine.llm.client import InferenceClient
from tts_engine.metrics import Metrics
from tts_engine.segment_speech import Speaker
from tts_engine.synthesis import Synthesizer

logger = logging.getLogger(__name__)

RETRY_WEIGHTS_S = 30.0
"""Seconds between two tries to load weights that could not be loaded."""

CONNECTION = ("api_url", "api_key", "api_dialect", "model_name", "prompt_form")
"""Settings that a client of the inference server is made with."""

NO_INFERENCE_SERVER = (
    "No inference server is set. Start llama.cpp, LM Studio, GPUStack or vLLM with an Orpheus model and put its address "
    "into .env (ORPHEUS_API_URL=http://127.0.0.1:8080) and restart, or set it on the page under Server."
)


class Engine:
    """The process's hardware, plan, inference client, codec and admission. `start()` before use, `close()` after."""

    def __init__(self, settings: Settings, hardware: Hardware | None = None) -> None:
        """hardware: None looks at this machine. Raises SettingsError."""
        self.settings = settings
        self.voices = settings.voices
        self.hardware = hardware or detect()
        self.plan = plan(self.hardware, settings)
        self.admission = Admission(speaking=self.plan.speaking, waiting=settings.max_waiting)
        self.metrics = Metrics()
        self.metrics.watch("orpheus_speaking", "Requests that speak.", lambda: self.admission.speaking)
        self.metrics.watch("orpheus_waiting", "Requests that wait for a place.", lambda: self.admission.waiting)
        self.metrics.watch(
            "orpheus_decode_waiting",
            "Pieces of audio that wait for a decode thread.",
            lambda: self.batcher.waiting if self.batcher else 0,
        )
        self.client = _client(settings)
        self._retired: list[InferenceClient] = []
        self.batcher: Batcher | None = None
        self._cache: SegmentCache | None = None
        self.codec_problem = "The SNAC weights are still being loaded; try again in a moment."
        self._codec_tried = 0.0
        self._loading = asyncio.Lock()

    async def start(self) -> None:
        """Load and warm up the codec, ask the inference server what it is; neither failing stops the start."""
        logger.info("Hardware: %s", self.hardware)
        logger.info("Plan: %s", self.plan)
        await asyncio.gather(self._load_codec(), self._greet_inference_server())
        for problem in await self.problems():
            logger.warning("Cannot speak yet: %s", problem)

    def apply(self, settings: Settings) -> None:
        """Have the next request use these settings. What runs goes on as it began.

        Only settings that are looked up for every request, and those of CONNECTION, may differ. Raises SettingsError,
        with nothing changed.
        """
        if any(getattr(settings, name) != getattr(self.settings, name) for name in CONNECTION):
            client = _client(settings)
            if self.client is not None:
                self._retired.append(self.client)
            self.client = client
        elif self.client is not None:
            self.client.timeout_s = settings.api_timeout
        self.settings = settings
        self.voices = settings.voices
        self.admission.waiting_limit = settings.max_waiting
        logging.getLogger("tts_engine").setLevel(settings.log_level)

    async def close(self) -> None:
        for client in (*self._retired, self.client):
            if client is not None:
                await client.close()
        if self.batcher is not None:
            await self.batcher.close()

    async def synthesizer(self) -> Synthesizer:
        """What speaks. Raises NotReadyError with the reason while something is missing."""
        if self.client is None:
            raise NotReadyError(NO_INFERENCE_SERVER, code="not_configured")
        if self.batcher is None and time.monotonic() - self._codec_tried > RETRY_WEIGHTS_S:
            await self._load_codec()
        if self.batcher is None:
            raise NotReadyError(self.codec_problem, code="codec_not_ready")
        speaker = Speaker(
            client=self.client,
            batcher=self.batcher,
            batch_frames=max(1, self.plan.token_batch // SLOTS),
            early=self.settings.first_audio == "fast",
            cache=self._cache,
            shape=await self._shape(self.client) if self._cache is not None else {},
        )
        return Synthesizer(speaker, workers=self.plan.workers)

    async def _shape(self, client: InferenceClient) -> dict[str, str]:
        """What of this process shapes every segment's audio."""
        settings = self.settings
        return {
            "model": (await client.known_server()).model,
            "prompt_form": settings.prompt_form,
            "snac": settings.snac_model,
            "first_audio": settings.first_audio,
        }

    async def problems(self) -> list[str]:
        """What stands in the way of speech, in words for people; empty when all is well."""
        found = []
        if self.client is None:
            found.append(NO_INFERENCE_SERVER)
        elif (problem := (await self.client.server()).problem) is not None and not self.client.speaks:
            found.append(problem)
        if self.batcher is None:
            found.append(self.codec_problem)
        return found

    async def _greet_inference_server(self) -> None:
        if self.client is not None:
            server = await self.client.server()
            logger.info("Inference server: %s", server)

    async def _load_codec(self) -> None:
        async with self._loading:
            if self.batcher is not None:
                return
            began = time.monotonic()
            try:
                decoder = await asyncio.to_thread(self._load_decoder)
            except (NotReadyError, CodecError) as exc:
                self.codec_problem = exc.message
                self._codec_tried = time.monotonic()
                return
            self.batcher = Batcher(decoder, threads=self.plan.decode_threads)
            if self.settings.cache_max_gb:
                folder = ROOT / self.settings.data_dir / "cache"
                self._cache = SegmentCache(folder, round(self.settings.cache_max_gb * 1e9), decoder.sample_rate)
            logger.info(
                "SNAC: %s on %s, loaded and warm in %.1f s", decoder.name, decoder.device, time.monotonic() - began
            )

    def _load_decoder(self) -> Decoder:
        decoder = load_decoder(
            self.settings.snac_model,
            backend=self.settings.decoder,
            device=self.plan.device,
            threads=self.plan.decode_threads,
        )
        decoder.warm_up()
        return decoder


def _client(settings: Settings) -> InferenceClient | None:
    if settings.api_url is None:
        return None
    return InferenceClient(
        url=settings.api_url,
        api_key=settings.api_key.get_secret_value() if settings.api_key else None,
        model=settings.model_name,
        timeout_s=settings.api_timeout,
        dialect=settings.api_dialect,
        prompt_form=settings.prompt_form,
    )
