"""Fixtures of the cluster tier: one API server a session, one namespace a test."""

from __future__ import annotations

import asyncio
import functools
import itertools
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.cluster.api import Api
from tests.cluster.build import the_build
from tests.cluster.control_plane import ControlPlane
from tests.cluster.definitions import OWN, install, read_definitions
from tests.cluster.installation import Install, installed
from tests.cluster.namespace import Namespace, NewNamespace
from tests.cluster.picker import StartPicker, running_picker

_serial = itertools.count(1)


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """etcd and the API server with all CRDs; skips where they have not been built."""
    built = the_build()
    if not built.exists:
        go = "" if shutil.which("go") else ", which needs Go: there is no `go` on the path"
        pytest.skip(f"no kube-apiserver in {built.folder}: `make test-cluster` builds it{go}")
    with tempfile.TemporaryDirectory(prefix="control-plane-") as folder:
        running = ControlPlane(built, Path(folder))
        try:
            running.start()
            asyncio.run(_install_definitions(running, built.crds))
            yield running
        finally:
            running.stop()


@pytest.fixture
async def api(control_plane: ControlPlane) -> AsyncIterator[Api]:
    """As the administrator."""
    async with Api(control_plane.url, control_plane.admin_context()) as client:
        yield client


@pytest.fixture
async def new_namespace(api: Api) -> AsyncIterator[NewNamespace]:
    """Makes namespaces, each empty and nobody else's."""
    made: list[Namespace] = []

    async def new() -> Namespace:
        made.append(Namespace(api, f"test-{next(_serial)}"))
        await made[-1].create()
        return made[-1]

    yield new
    for namespace in made:
        await namespace.delete()


@pytest.fixture
async def namespace(new_namespace: NewNamespace) -> Namespace:
    return await new_namespace()


@pytest.fixture
def start_picker(control_plane: ControlPlane) -> StartPicker:
    """The picker under a service account of a namespace; see `running_picker`."""
    return functools.partial(running_picker, control_plane)


@pytest.fixture
def install_plan(control_plane: ControlPlane, namespace: Namespace) -> Install:
    """Model servers, Pods, pool, picker and Envoy, in the test's namespace."""
    return functools.partial(installed, control_plane, namespace)


async def _install_definitions(control_plane: ControlPlane, official: Path) -> None:
    async with Api(control_plane.url, control_plane.admin_context()) as client:
        await install(client, read_definitions(official, OWN))
