"""Everything a request passes, for one test: model servers in Pods, a pool, the picker, Envoy."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

from epp.envoyconfig.bootstrap import bootstrap
from epp.envoyconfig.settings import EnvoySettings, Mode
from epp.simulation.settings import ServerSettings
from tests.cluster.control_plane import ControlPlane
from tests.cluster.model_servers import SETTINGS, ModelServer, ModelServers
from tests.cluster.namespace import Namespace
from tests.cluster.picker import KubernetesPicker, running_picker
from tests.helpers.envoy import RunningEnvoy


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be installed; each test says what it needs to differ."""

    servers: int = 2
    pods: int | None = None  # of the servers that run from the start; None: for all
    ports: int = 1  # of each server
    ipv6: bool = False  # then there is one address, so one server
    mode: Mode = Mode.FULL
    settings: ServerSettings = SETTINGS
    document: Mapping[str, object] = field(default_factory=dict)
    flags: Sequence[str] = ()
    api_server: str = ""  # URL for the picker, where it is not that of the API server itself


@dataclass(slots=True)
class Installation:
    namespace: Namespace
    servers: list[ModelServer]
    picker: KubernetesPicker
    envoy: RunningEnvoy

    @property
    def url(self) -> str:
        return self.envoy.url

    async def run_pod(self, number: int, **options: object) -> None:
        """The Pod `pod-N`, of the N-th server."""
        address = self.servers[number].address
        await self.namespace.run_pod(f"pod-{number}", address, **options)  # type: ignore[arg-type]

    async def set_ready(self, number: int, ready: bool) -> None:
        address = self.servers[number].address
        await self.namespace.set_status(f"pod-{number}", address, ready=ready)

    async def terminate_pod(self, number: int) -> None:
        await self.namespace.terminate_pod(f"pod-{number}")

    async def remove_pod(self, number: int) -> None:
        await self.namespace.remove_pod(f"pod-{number}")

    def authorities(self, *numbers: int) -> list[str]:
        return [one for number in numbers for one in self.servers[number].authorities]

    async def knows(self, *numbers: int) -> None:
        """Waits until the picker has the endpoints of these servers, and no others."""
        await self.picker.knows(self.authorities(*numbers))

    def nothing_held(self) -> bool:
        """Whether the picker counts no request as running."""
        return (
            self.picker.metric("llm_d_epp_endpoint_inflight_requests") == 0
            and self.picker.metric("llm_d_epp_request_running") == 0
        )


@asynccontextmanager
async def installed(
    control_plane: ControlPlane, namespace: Namespace, plan: Plan
) -> AsyncIterator[Installation]:
    """Entering returns when the picker serves and knows the Pods."""
    async with ModelServers(ports=plan.ports, settings=plan.settings) as model_servers:
        if plan.ipv6:
            await model_servers.start_at("::1")
        else:
            await model_servers.start(plan.servers)
        await namespace.create_pool(ports=model_servers.ports)
        async with running_picker(
            control_plane,
            namespace,
            server=plan.api_server,
            document=plan.document,
            flags=plan.flags,
        ) as picker:
            settings = EnvoySettings(
                listen_port=0,
                admin_port=0,
                picker_port=picker.grpc_port,
                model_servers=tuple(model_servers.authorities),
                mode=plan.mode,
            )
            with RunningEnvoy(bootstrap(settings)) as envoy:
                site = Installation(namespace, model_servers.all, picker, envoy)
                running = range(plan.servers if plan.pods is None else plan.pods)
                for number in running:
                    await site.run_pod(number)
                await picker.ready()
                await site.knows(*running)
                yield site


Install = Callable[[Plan], AbstractAsyncContextManager[Installation]]
