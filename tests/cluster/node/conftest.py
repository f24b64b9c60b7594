"""Fixtures of the tests on a node: one cluster a session, a namespace with servers a test."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import yaml

from tests.cluster.api import NAMESPACE, Api
from tests.cluster.build import Built, the_build
from tests.cluster.chart import MANIFESTS
from tests.cluster.definitions import OWN, install, read_definitions
from tests.cluster.image import envoy_root, picker_root, write_image
from tests.cluster.node.cluster import Cluster
from tests.cluster.node.dns.build import the_name_server
from tests.cluster.node.helm import Helm
from tests.cluster.node.objects import SERVERS, rolled_out
from tests.cluster.node.requirements import missing
from tests.cluster.tools import Tools
from tests.cluster.waiting import eventually

SECONDS = 60.0
FOLDER = Path(__file__).parent
IMAGES = (
    ("localhost/epp:0.1.0", picker_root, ["/usr/local/bin/python3", "-m", "epp"]),
    ("docker.io/envoyproxy/envoy:distroless-v1.40.0", envoy_root, ["/usr/local/bin/envoy"]),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first of them starts the cluster, and each waits for Pods."""
    for item in items:
        if item.path.is_relative_to(FOLDER):
            item.add_marker(pytest.mark.timeout(400))


@pytest.fixture(scope="session")
def built() -> Built:
    """Skips where there can be no node."""
    if reason := missing():
        pytest.skip(f"no node can run here: the test {reason}")
    found = the_build()
    if not found.exists:
        go = "" if shutil.which("go") else ", which needs Go: there is no `go` on the path"
        pytest.skip(f"no kubelet in {found.folder}: `make test-node` builds it{go}")
    return found


@pytest.fixture(scope="session")
def cluster(built: Built, tools: Tools) -> Iterator[Cluster]:
    """With the images of this checkout and the CRDs."""
    # `tools` is for helm: without it nothing is started.
    with tempfile.TemporaryDirectory(prefix="epp-node-") as folder:
        running = Cluster(built, Path(folder), the_name_server())
        try:
            running.start()
            _import_images(running, Path(folder))
            asyncio.run(_furnish(running, built))
            yield running
            running.check()
        finally:
            running.stop()


@pytest.fixture
def names(cluster: Cluster) -> None:
    """Skips where Pods find no names."""
    name_server = the_name_server()
    if not name_server.exists:
        pytest.skip(f"no {name_server.program}: `make dns` builds it, which needs Go")


@pytest.fixture
def helm(cluster: Cluster, tools: Tools) -> Helm:
    return Helm(tools, cluster.kubeconfig)


@pytest.fixture
async def api(cluster: Cluster) -> AsyncIterator[Api]:
    """As the administrator."""
    async with cluster.api() as client:
        yield client


@pytest.fixture
async def room(api: Api) -> AsyncIterator[str]:
    """A namespace with three simulated model servers; it goes with all that is in it."""
    name = f"node-{uuid.uuid4().hex[:8]}"
    await api.create(NAMESPACE.of(name))
    servers = MANIFESTS / "overlays/kind/model-servers.yaml"
    await api.create(yaml.safe_load(servers.read_text(encoding="utf-8")), name)
    await eventually("three model servers", lambda: rolled_out(api, name, SERVERS), SECONDS)
    yield name
    await api.delete(NAMESPACE, name)


def _import_images(cluster: Cluster, folder: Path) -> None:
    for number, (name, fill, entrypoint) in enumerate(IMAGES):
        root, archive = folder / f"root-{number}", folder / f"image-{number}.tar"
        root.mkdir()
        write_image(archive, name, root, entrypoint, fill(root))
        cluster.import_image(archive)


async def _furnish(cluster: Cluster, built: Built) -> None:
    async with cluster.api() as api:
        await install(api, read_definitions(built.crds, OWN))
