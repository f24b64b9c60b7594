"""The picker as a real process that finds its endpoints on Kubernetes, and what it shows."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from tests.cluster.accounts import Account
from tests.cluster.control_plane import ControlPlane
from tests.cluster.namespace import Namespace
from tests.cluster.waiting import eventually
from tests.helpers.gateway import health
from tests.helpers.picker import EppProcess
from tests.helpers.process import new_folder

READY_SECONDS = 20.0


class KubernetesPicker(EppProcess):
    """`flags` come after those that make it a picker of this namespace, so the last one wins."""

    def __init__(
        self,
        namespace: str,
        kubeconfig: Path,
        *,
        pool: str = "pool",
        document: Mapping[str, object] | None = None,
        flags: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Without a pool's name, `flags` have to say how the Pods are selected."""
        self.kubeconfig = kubeconfig
        chosen = [
            *(["--pool-name", pool] if pool else []),
            *("--pool-namespace", namespace, "--kubeconfig", str(kubeconfig)),
            *flags,
        ]
        super().__init__(new_folder("picker-"), document, flags=chosen, environment=environment)

    async def ready(self, seconds: float = READY_SECONDS) -> None:
        """Waits until the health service says that it serves."""

        async def serves() -> bool:
            return await health(self.health_port) == "SERVING"

        try:
            await eventually("the picker serves", serves, seconds)
        except AssertionError as error:
            error.add_note(f"its log:\n{self.log()[-4000:]}")
            raise

    def status(self) -> dict[str, Any]:
        """What its status page shows. Raises OSError if it does not answer."""
        with urlopen(f"http://127.0.0.1:{self.metrics_port}/status.json", timeout=5) as page:
            found: dict[str, Any] = json.load(page)
            return found

    def endpoints(self) -> dict[str, str]:
        """Names, as `namespace/pod-rank-0`, by address and port: 500 at the most."""
        return {each["address"]: each["name"] for each in self.status()["endpoints"]}

    async def knows(self, authorities: Sequence[str], seconds: float = 15.0) -> None:
        """Waits until these, and no others, are its endpoints."""
        wanted = set(authorities)
        try:
            await eventually(
                f"endpoints {sorted(wanted)}", lambda: set(self.endpoints()) == wanted, seconds
            )
        except AssertionError as error:
            error.add_note(f"it has {self.endpoints()}; its log:\n{self.log()[-4000:]}")
            raise


@asynccontextmanager
async def running_picker(
    control_plane: ControlPlane,
    namespace: Namespace,
    *,
    account: Account | None = None,
    token: str = "",
    server: str = "",
    pool: str = "pool",
    document: Mapping[str, object] | None = None,
    flags: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[KubernetesPicker]:
    """Started, but perhaps not ready: that needs a pool. It must not meet an unexpected error.

    Without an account it gets a new one, `epp`, with the rules of an installation; `token` and
    `server` replace the account's token and the URL of the API server.
    """
    account = account or await namespace.account()
    name = f"{namespace.name}-{account.name}.kubeconfig"
    token = token or await account.token()
    kubeconfig = control_plane.kubeconfig(name, token=token, server=server)
    picker = KubernetesPicker(
        namespace.name,
        kubeconfig,
        pool=pool,
        document=document,
        flags=["--metrics-endpoint-auth=false", *flags],
        environment=environment,
    )
    try:
        picker.start()
        yield picker
        assert "Traceback" not in picker.log(), picker.log()[-8000:]
    finally:
        picker.stop()


StartPicker = Callable[..., AbstractAsyncContextManager[KubernetesPicker]]
