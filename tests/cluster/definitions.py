"""Installs CRDs and takes them away again: the official ones from their module, two of our own."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import yaml

from tests.cluster.api import CRD, Api, ApiRefused, Object
from tests.cluster.build import Built
from tests.cluster.control_plane import ControlPlane
from tests.cluster.waiting import eventually

OWN = Path(__file__).parent / "crds"
LEGACY = OWN / "legacy"  # not installed unless a test does it
SECONDS = 30.0


def read_definitions(*folders: Path) -> list[Object]:
    """In the order of their file names."""
    return [
        document
        for folder in folders
        for path in sorted(folder.glob("*.yaml"))
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))
        if document and document.get("kind") == CRD.name
    ]


@contextmanager
def running_control_plane(built: Built) -> Iterator[ControlPlane]:
    """etcd and the API server with all CRDs of the picker. Call from the main thread."""
    with tempfile.TemporaryDirectory(prefix="control-plane-") as folder:
        running = ControlPlane(built, Path(folder))
        try:
            running.start()
            asyncio.run(_install_all(running, built.crds))
            yield running
        finally:
            running.stop()


async def _install_all(control_plane: ControlPlane, official: Path) -> None:
    async with Api(control_plane.url, control_plane.admin_context()) as client:
        await install(client, read_definitions(official, OWN))


async def install(api: Api, definitions: list[Object]) -> None:
    """Returns when each can be used. What is there already is left as it is."""
    for definition in definitions:
        try:
            await api.create(definition)
        except ApiRefused as error:
            if error.status != 409:
                raise
    for definition in definitions:
        name = definition["metadata"]["name"]
        await eventually(f"{name} established", partial(_established, api, name), SECONDS)
        await eventually(f"{name} served", partial(_served, api, definition), SECONDS)


async def remove(api: Api, definitions: list[Object]) -> None:
    """With all objects of these kinds. Returns when the server no longer knows them."""
    for definition in definitions:
        await api.delete(CRD, definition["metadata"]["name"])
    for definition in definitions:
        name = definition["metadata"]["name"]
        await eventually(f"{name} gone", partial(_gone, api, name), SECONDS)


async def _established(api: Api, name: str) -> bool:
    found = await api.get(CRD, name)
    conditions = found["status"]["conditions"] or []  # null in the first moment
    return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)


async def _served(api: Api, definition: Object) -> bool:
    """Its path answers a while after it is established: 404 first, then 429."""
    spec = definition["spec"]
    version = next(one["name"] for one in spec["versions"] if one["served"])
    try:
        await api.call("GET", f"/apis/{spec['group']}/{version}/{spec['names']['plural']}")
    except ApiRefused as error:
        if error.status not in (404, 429):
            raise
        return False
    return True


async def _gone(api: Api, name: str) -> bool:
    try:
        await api.get(CRD, name)
    except ApiRefused as error:
        return error.status == 404
    return False
