"""What every test session shares: checked IR, one throw-away kernel cache, reproducible hypothesis runs, no test that
leaves work to the next.

The environment is set at import, before any test module imports specjit, and child processes inherit it.
Invariant: a test session neither reads nor writes the user's kernel cache, and a kernel compiles once per session.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

_ROOT = Path(__file__).resolve().parent.parent
_CACHE_OWNER = "SPECJIT_TEST_CACHE_OWNER"


def _session_cache() -> None:
    """Give the session its own kernel cache; a pytest started by a test uses its parent's."""
    if _CACHE_OWNER in os.environ:
        return
    os.environ["SPECJIT_CACHE_DIR"] = tempfile.mkdtemp(prefix="specjit-tests-")
    os.environ[_CACHE_OWNER] = str(os.getpid())


for _name in [name for name in os.environ if name == "SPECJIT" or name.startswith("SPECJIT_")]:
    if _name != _CACHE_OWNER and not (_name == "SPECJIT_CACHE_DIR" and _CACHE_OWNER in os.environ):
        del os.environ[_name]  # a developer's settings must not decide what the tests see
os.environ["SPECJIT_CHECK"] = "1"
os.environ["SPECJIT_GATE"] = "0"  # what a test sees must not depend on times
# Child processes (compile workers, the command line) must run the code under test, not an installed copy of it.
os.environ["PYTHONPATH"] = os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
_session_cache()
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts its background jobs so, and children inherit it; tests of Ctrl-C need the signal.
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile(
    "specjit",
    deadline=None,  # the first example of a kernel compiles it
    derandomize=True,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
settings.load_profile("specjit")


@pytest.fixture(autouse=True)
def _end_background_work() -> Iterator[None]:
    """A compile that a test started and did not wait for is over before the next test: it shall not meet that one's
    forks, counts or captured output."""
    yield
    started = sys.modules.get("specjit.runtime.service")
    if started is not None:
        assert started.service.drain(600)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the session's cache, in the process that made it."""
    if os.environ.get(_CACHE_OWNER) == str(os.getpid()):
        shutil.rmtree(os.environ["SPECJIT_CACHE_DIR"], ignore_errors=True)
