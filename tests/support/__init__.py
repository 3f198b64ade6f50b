"""Real counterparts for the tests, and fakes where a test has to command every byte."""

import os

# Before torch is imported: decode threads that spin would stop the server that a test runs beside them.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
