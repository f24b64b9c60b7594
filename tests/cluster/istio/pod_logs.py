"""Prints logs as kubectl does, of the cluster that the environment names.

`python -m tests.cluster.istio.pod_logs NAMESPACE SELECTOR CONTAINER`, for scripts that read what
pickers log.
"""

from __future__ import annotations

import asyncio
import sys

from tests.cluster.api import POD
from tests.cluster.node import given_node
from tests.cluster.tools import the_tools


async def main(namespace: str, selector: str, container: str) -> None:
    node = given_node(the_tools())
    if node is None:
        sys.exit("the environment names no cluster")
    async with node.api() as api:
        found = await api.call("GET", f"{POD.path(namespace)}?labelSelector={selector}")
        for pod in found["items"]:
            path = POD.path(namespace, pod["metadata"]["name"], "log")
            print(await api.text("GET", f"{path}?container={container}"), end="")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
