"""The service account of the picker with exactly the rules that an installation gives it."""

from __future__ import annotations

from collections.abc import Sequence

from tests.cluster.api import ROLE, ROLE_BINDING, SERVICE_ACCOUNT, Api, Object

READ = ("get", "list", "watch")
TOKEN_SECONDS = 3600


def _rule(groups: Sequence[str], resources: Sequence[str], verbs: Sequence[str] = READ) -> Object:
    return {"apiGroups": list(groups), "resources": list(resources), "verbs": list(verbs)}


PODS = _rule([""], ["pods"])
POOLS = _rule(["inference.networking.k8s.io"], ["inferencepools"])
OBJECTIVES_AND_REWRITES = _rule(
    ["llm-d.ai", "inference.networking.x-k8s.io"],
    ["inferenceobjectives", "inferencemodelrewrites"],
)
PICKER_RULES = (PODS, POOLS, OBJECTIVES_AND_REWRITES)


class Account:
    """A service account in one namespace. Its rules may change while it is used."""

    def __init__(self, api: Api, namespace: str, name: str = "epp") -> None:
        self._api = api
        self.namespace = namespace
        self.name = name

    @property
    def user(self) -> str:
        """As the server calls it in reviews and in refusals."""
        return f"system:serviceaccount:{self.namespace}:{self.name}"

    @property
    def subject(self) -> Object:
        """For a binding of one's own."""
        return {"kind": "ServiceAccount", "name": self.name, "namespace": self.namespace}

    async def create(self, rules: Sequence[Object] = PICKER_RULES) -> None:
        """With a Role of these rules, and its binding, under the account's name."""
        await self._api.create(SERVICE_ACCOUNT.of(self.name), self.namespace)
        await self._api.create(ROLE.of(self.name, rules=list(rules)), self.namespace)
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": self.name}
        binding = ROLE_BINDING.of(self.name, roleRef=role, subjects=[self.subject])
        await self._api.create(binding, self.namespace)

    async def allow(self, *rules: Object) -> None:
        """Instead of what was allowed."""
        await self._api.patch(ROLE, self.name, {"rules": list(rules)}, self.namespace)

    async def token(self, seconds: int = TOKEN_SECONDS) -> str:
        """A fresh one, as the kubelet asks for it."""
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": seconds},
        }
        path = SERVICE_ACCOUNT.path(self.namespace, self.name, "token")
        answer = await self._api.call("POST", path, request)
        return str(answer["status"]["token"])
