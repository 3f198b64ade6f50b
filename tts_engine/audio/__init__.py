"""PCM -> what the listener gets: segments joined, speed, sample rate, formats, captions. Knows nothing of models."""
