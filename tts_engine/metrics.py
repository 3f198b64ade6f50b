"""What is counted of the requests, for Prometheus. One registry an app, so that two in one process do not mix."""

from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

FIRST_AUDIO_BUCKETS_S = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30)
REAL_TIME_FACTOR_BUCKETS = (0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 4)


class Metrics:
    """Counters of one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "orpheus_requests", "Speech requests by how they ended.", ["outcome"], registry=self.registry
        )
        self._first_audio = Histogram(
            "orpheus_first_audio_seconds",
            "From the request to its first audio.",
            buckets=FIRST_AUDIO_BUCKETS_S,
            registry=self.registry,
        )
        self._real_time_factor = Histogram(
            "orpheus_real_time_factor",
            "Time taken by a request per second of its audio.",
            buckets=REAL_TIME_FACTOR_BUCKETS,
            registry=self.registry,
        )
        self._audio = Counter("orpheus_audio_seconds", "Audio made.", registry=self.registry)
        self._tokens = Counter("orpheus_tokens", "Audio tokens read.", registry=self.registry)
        self._dropped = Counter(
            "orpheus_dropped_tokens", "Audio tokens that were part of no whole frame.", registry=self.registry
        )
        self._truncated = Counter(
            "orpheus_truncated_segments", "Segments that ended at the token limit.", registry=self.registry
        )
        self._asked_again = Counter(
            "orpheus_segments_asked_again", "Completions thrown away because of a fault.", registry=self.registry
        )
        self._problems = Counter(
            "orpheus_segment_problems", "Segments heard with a fault.", ["fault"], registry=self.registry
        )
        self._upstream_errors = Counter(
            "orpheus_upstream_errors", "Failures of the inference server by kind.", ["kind"], registry=self.registry
        )

    def watch(self, name: str, help_text: str, read: Callable[[], float]) -> None:
        """Have a gauge read whenever the metrics are asked for."""
        Gauge(name, help_text, registry=self.registry).set_function(read)

    def request_ended(
        self,
        outcome: str,
        *,
        first_audio_s: float | None,
        elapsed_s: float,
        audio_s: float,
        tokens: int,
        dropped: int,
        truncated: int,
        asked_again: int,
        problems: Sequence[str],
    ) -> None:
        """Count one request. outcome: "ok", "cancelled", "failed" or the name of an error class."""
        self._requests.labels(outcome).inc()
        if outcome.startswith("Inference"):
            self._upstream_errors.labels(outcome).inc()
        if first_audio_s is not None:
            self._first_audio.observe(first_audio_s)
        if audio_s:
            self._real_time_factor.observe(elapsed_s / audio_s)
            self._audio.inc(audio_s)
        self.segment_ended(
            tokens=tokens, dropped=dropped, truncated=truncated, asked_again=asked_again, problems=problems
        )

    def segment_ended(
        self, *, tokens: int, dropped: int, truncated: int, asked_again: int, problems: Sequence[str]
    ) -> None:
        """Count what the model said: of a request, or of a job's segment."""
        self._tokens.inc(tokens)
        self._dropped.inc(dropped)
        self._truncated.inc(truncated)
        self._asked_again.inc(asked_again)
        for fault in problems:
            self._problems.labels(fault).inc()

    def text(self) -> bytes:
        """Everything, in Prometheus's text format."""
        return generate_latest(self.registry)
