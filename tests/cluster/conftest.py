"""Fixtures of the cluster tier: one API server a session, one namespace a test."""

from __future__ import annotations

import asyncio
import functools
import itertools
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.cluster.api import NAMESPACE, Api
from tests.cluster.build import the_build
from tests.cluster.chart import NAMESPACE as CHART_NAMESPACE
from tests.cluster.chart import Chart
from tests.cluster.control_plane import ControlPlane
from tests.cluster.definitions import install, read_definitions, running_control_plane
from tests.cluster.installation import Install, installed
from tests.cluster.namespace import Namespace, NewNamespace
from tests.cluster.picker import StartPicker, running_picker
from tests.cluster.tools import Tools, the_tools

_serial = itertools.count(1)

SHAPES = Path(__file__).parent / "shapes"
# Kinds of the neighbours that the chart and the overlays have objects of.
NEIGHBOURS = {
    "Gateway",
    "HTTPRoute",
    "DestinationRule",
    "EnvoyFilter",
    "ScaledObject",
    "ServiceMonitor",
    "GCPBackendPolicy",
    "HealthCheckPolicy",
    "GCPRoutingExtension",
    "PodMonitoring",
}


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """etcd and the API server with all CRDs; skips where they have not been built."""
    built = the_build()
    if not built.exists:
        go = "" if shutil.which("go") else ", which needs Go: there is no `go` on the path"
        pytest.skip(f"no kube-apiserver in {built.folder}: `make test-cluster` builds it{go}")
    with running_control_plane(built) as running:
        yield running


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


@pytest.fixture(scope="session")
def tools() -> Tools:
    found = the_tools()
    if not found.exists:
        go = "" if shutil.which("go") else ", which needs Go: there is no `go` on the path"
        pytest.skip(f"no helm in {found.folder}: `make test-cluster` builds it{go}")
    return found


@pytest.fixture
def chart(tools: Tools, tmp_path: Path) -> Chart:
    return Chart(tools, tmp_path)


@pytest.fixture(scope="session")
def furnished(tools: Tools, control_plane: ControlPlane) -> ControlPlane:
    """With the namespace, and the kinds of all that the chart can make."""
    found = read_definitions(*sorted(tools.crds.iterdir()), SHAPES)
    used = [one for one in found if one["spec"]["names"]["kind"] in NEIGHBOURS]

    async def furnish() -> None:
        async with Api(control_plane.url, control_plane.admin_context()) as api:
            await install(api, used)
            await api.create(NAMESPACE.of(CHART_NAMESPACE))

    asyncio.run(furnish())
    return control_plane


@pytest.fixture
def server(furnished: ControlPlane, api: Api) -> Api:
    return api
