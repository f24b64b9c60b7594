"""What the chart and the overlays make, and whether an API server would take it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.api import Api, ApiRefused, Object
from tests.cluster.tools import Tools

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts/epp"
MANIFESTS = ROOT / "manifests"
NAMESPACE = "inference"
RELEASE = "vllm"
SERVERS: Object = {"router": {"modelServers": {"matchLabels": {"app": "vllm"}}}}
SECONDS = 60.0


class Refused(Exception):
    """What helm or kustomize says against it."""


class Chart:
    """The chart under one helm."""

    def __init__(self, tools: Tools, folder: Path) -> None:
        self._helm = tools.helm
        self._folder = folder  # for values files

    def objects(
        self,
        *values: Mapping[str, object],
        release: str = RELEASE,
        namespace: str = NAMESPACE,
    ) -> list[Object]:
        """Of one release; later values win. Raises Refused."""
        text = self._run("template", release, str(CHART), "-n", namespace, *self._files(values))
        return documents(text)

    def lint(self, *values: Mapping[str, object]) -> None:
        self._run("lint", "--strict", "--quiet", str(CHART), *self._files(values))

    def _files(self, values: Sequence[Mapping[str, object]]) -> Iterator[str]:
        for number, each in enumerate(values):
            file = self._folder / f"values-{number}.yaml"
            file.write_text(yaml.safe_dump(dict(each)), encoding="utf-8")
            yield f"--values={file}"

    def _run(self, *arguments: str) -> str:
        return _run([str(self._helm), *arguments])


def overlay(tools: Tools, name: str) -> list[Object]:
    """The objects of a folder of `manifests/`. Raises Refused."""
    return documents(_run([str(tools.kustomize), "build", str(MANIFESTS / name)]))


def documents(text: str) -> list[Object]:
    return [one for one in yaml.safe_load_all(text) if one]


def the_one(objects: Sequence[Object], kind: str, name: str = "") -> Object:
    """The object of this kind, and of this name if there are several."""
    [found] = [
        one
        for one in objects
        if one["kind"] == kind and (not name or one["metadata"]["name"] == name)
    ]
    return found


def container(objects: Sequence[Object], name: str, deployment: str = "") -> dict[str, Any]:
    """A container of a Deployment, one that starts before the others included."""
    spec = the_one(objects, "Deployment", deployment)["spec"]["template"]["spec"]
    [found] = [
        one for one in [*spec.get("initContainers", []), *spec["containers"]] if one["name"] == name
    ]
    return dict(found)


async def refusals(api: Api, objects: Sequence[Object]) -> list[str]:
    """What the server says against creating them: a dry run, an unknown field being an error."""
    found = []
    paths: dict[str, dict[str, tuple[str, bool]]] = {}
    for one in objects:
        version, metadata = one["apiVersion"], one["metadata"]
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        where = f"{one['kind']} {metadata['name']}"
        try:
            if version not in paths:
                paths[version] = _paths(await api.call("GET", root))
            plural, namespaced = paths[version][one["kind"]]
            scope = f"/namespaces/{metadata.get('namespace', NAMESPACE)}" if namespaced else ""
            query = "?dryRun=All&fieldValidation=Strict"
            await api.call("POST", f"{root}{scope}/{plural}{query}", one)
        except ApiRefused as error:
            if error.status == 409:  # the namespace is there
                continue
            found.append(f"{where}: {error}")
        except KeyError:
            found.append(f"{where}: the server knows no such kind in {version}")
    return found


def _paths(resources: Object) -> dict[str, tuple[str, bool]]:
    """Kind -> its plural, and whether it is namespaced."""
    return {
        each["kind"]: (each["name"], each["namespaced"])
        for each in resources["resources"]
        if "/" not in each["name"]
    }


def _run(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    if done.returncode:
        raise Refused(done.stderr + done.stdout)
    return done.stdout
