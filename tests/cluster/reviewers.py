"""Who may ask for reviews of tokens, and who may read metrics: rules beside those of the pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.cluster.accounts import Account
from tests.cluster.api import CLUSTER_ROLE, CLUSTER_ROLE_BINDING, Api

REVIEWS: Mapping[str, Sequence[str]] = {
    "authentication.k8s.io": ("tokenreviews",),
    "authorization.k8s.io": ("subjectaccessreviews",),
}


async def may_review(api: Api, account: Account) -> None:
    """As the chart's ClusterRole for a picker whose metrics page wants tokens."""
    rules = [
        {"apiGroups": [group], "resources": list(resources), "verbs": ["create"]}
        for group, resources in REVIEWS.items()
    ]
    await _grant(api, account, "reviews", rules)


async def may_read_metrics(api: Api, account: Account) -> None:
    await _grant(api, account, "metrics", [{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}])


async def may_no_longer_read_metrics(api: Api, account: Account) -> None:
    await api.delete(CLUSTER_ROLE_BINDING, _name(account, "metrics"))


async def _grant(api: Api, account: Account, what: str, rules: Sequence[object]) -> None:
    name = _name(account, what)
    await api.create(CLUSTER_ROLE.of(name, rules=list(rules)))
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
    await api.create(CLUSTER_ROLE_BINDING.of(name, roleRef=role, subjects=[account.subject]))


def _name(account: Account, what: str) -> str:
    return f"{account.namespace}-{account.name}-{what}"
