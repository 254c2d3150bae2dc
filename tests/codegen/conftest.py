"""One kernel library for all native tests: the session's cache and one compile worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from specjit.codegen.compiler import CompilerPool
from specjit.codegen.loader import KernelLibrary


@pytest.fixture(scope="session")
def pool() -> Iterator[CompilerPool]:
    pool = CompilerPool()
    yield pool
    pool.close()


@pytest.fixture(scope="session")
def library(pool: CompilerPool) -> KernelLibrary:
    return KernelLibrary(pool=pool)
