"""What the API server is asked about a token and its user, and what its answers say. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Json = Mapping[str, object]

TOKEN_REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
ACCESS_REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"


class ReviewFailed(Exception):
    """Nobody could be asked, or the answer cannot be used; the message is for people."""

    def __init__(self, text: str, *, temporary: bool) -> None:
        super().__init__(text)
        self.temporary = temporary  # the API server is away, rather than refusing us


@dataclass(frozen=True, slots=True)
class Identity:
    """A user as the API server knows it."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()


def bearer_token(authorization: str | None) -> str | None:
    """The token of an Authorization header, or None where there is none."""
    words = (authorization or "").split()
    if len(words) < 2 or words[0].lower() != "bearer":
        return None
    return words[1]


def token_review(token: str) -> Json:
    return {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": {"token": token},
    }


def identity_of(review: Json) -> Identity | None:
    """Whose token it is; None for nobody's. Raises ReviewFailed for another form."""
    status = _mapping(review.get("status"), "status")
    if status.get("authenticated") is not True:
        return None
    user = _mapping(status.get("user"), "status.user")
    name = user.get("username")
    if not isinstance(name, str) or not name:
        raise _unusable("TokenReview", "status.user.username")
    extra = _mapping(user.get("extra") or {}, "status.user.extra")
    return Identity(
        name,
        str(user.get("uid") or ""),
        _texts(user.get("groups"), "status.user.groups"),
        tuple((key, _texts(value, f"status.user.extra.{key}")) for key, value in extra.items()),
    )


def access_review(identity: Identity, path: str, verb: str) -> Json:
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": identity.name,
            "uid": identity.uid,
            "groups": list(identity.groups),
            "extra": {key: list(values) for key, values in identity.extra},
            "nonResourceAttributes": {"path": path, "verb": verb},
        },
    }


def is_allowed(review: Json) -> bool:
    """Raises ReviewFailed for another form."""
    status = _mapping(review.get("status"), "status")
    return status.get("allowed") is True and status.get("denied") is not True


def _mapping(value: object, where: str) -> Json:
    if not isinstance(value, Mapping):
        raise _unusable("review", where)
    return value


def _texts(value: object, where: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        raise _unusable("TokenReview", where)
    return tuple(value)


def _unusable(kind: str, where: str) -> ReviewFailed:
    return ReviewFailed(f"the {kind} that came back has no usable {where}", temporary=False)
