"""Places to speak that nobody live wants: a segment of a job begins only when no live request speaks or waits.

Where live requests never end, a job still gets on: after PATIENCE_S its segment takes a place that is free.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator

from tts_engine.admission import Admission

LOOK_AGAIN_S = 0.05
PATIENCE_S = 30.0
"""A tenth to a whole segment of usual length is made in this time: others hear next to nothing of it."""


class BackgroundPlaces:
    """The job runner's way into the admission; knows which of the speaking are its own."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._held = 0

    @contextlib.asynccontextmanager
    async def place(self) -> AsyncGenerator[None]:
        """Hold a place while inside. Waits as long as it takes, never in the line of the live requests."""
        patient_until = time.monotonic() + PATIENCE_S
        while not self._may_begin(patient=time.monotonic() < patient_until):  # noqa: ASYNC110 - the admission has no bell
            await asyncio.sleep(LOOK_AGAIN_S)
        async with self._admission.place():  # free, and nothing was awaited since it was seen
            self._held += 1
            try:
                yield
            finally:
                self._held -= 1

    def _may_begin(self, *, patient: bool) -> bool:
        admission = self._admission
        if admission.waiting or admission.speaking >= admission.limit:
            return False
        live = admission.speaking - self._held
        return not live or not patient
