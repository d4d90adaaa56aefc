"""For all tests: one torch thread.  The networks here are tiny; a second thread would only wait for the first."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
