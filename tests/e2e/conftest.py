"""One cluster per module; whatever its tests did, no log of it holds a secret."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from tests.support.cluster import Cluster, Plan

Clusters = Callable[[Plan], AbstractAsyncContextManager[Cluster]]


@pytest.fixture(scope="module")
def clusters(tmp_path_factory: pytest.TempPathFactory) -> Clusters:
    """Makes clusters; each is looked through for leaked secrets when it ends."""

    @asynccontextmanager
    async def make(plan: Plan) -> AsyncIterator[Cluster]:
        async with Cluster(tmp_path_factory.mktemp("cluster"), plan) as cluster:
            yield cluster
            leaks = cluster.leaks()
        assert leaks == []

    return make
