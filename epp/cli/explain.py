"""`epp explain` and `epp replay`: why a picker decides as it does, and the same decision again."""

from __future__ import annotations

import http.client
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, NoReturn

import click
import orjson

TIMEOUT_SECONDS = 30.0
# Of the client itself: they say nothing of the request that is tried.
DEFAULT_HEADERS = {"content-type": "application/json"}


@click.command()
@click.argument("request_id", required=False)
@click.option("--url", default="http://127.0.0.1:9090", show_default=True, help="The metrics port.")
@click.option("--body", "body_file", help="File with the body of a request to try; - is stdin.")
@click.option("--path", default="/v1/chat/completions", show_default=True, help="Of that request.")
@click.option("-H", "--header", "headers", multiple=True, help="Of that request, as name: value.")
@click.option("--subset", help="The gateway's subset hint: addresses or address:port, with commas.")
@click.option("--lists", is_flag=True, help="As for a gateway that takes fallback endpoints.")
@click.option("--json", "as_json", is_flag=True, help="The whole JSON, for `epp replay`.")
def explain(
    request_id: str | None,
    url: str,
    body_file: str | None,
    path: str,
    headers: tuple[str, ...],
    subset: str | None,
    lists: bool,
    as_json: bool,
) -> None:
    """Ask a running picker where a request would go and why; nothing is sent or reserved.

    With REQUEST_ID, why a request of a moment ago went where it went.
    """
    if (request_id is None) is (body_file is None):
        raise click.UsageError("give REQUEST_ID, or --body with the request to try")
    if not url.startswith(("http://", "https://")):
        raise click.UsageError(f"--url: {url!r} does not begin with http:// or https://")
    try:
        urllib.parse.urlsplit(url)
    except ValueError as error:
        raise click.UsageError(f"--url: {url!r}: {error}") from None
    if request_id is not None:
        quoted = urllib.parse.quote(request_id, safe="")
        asked = urllib.request.Request(f"{url.rstrip('/')}/explain/{quoted}")
    else:
        parameters = {"path": path}
        parameters |= {"subset": subset} if subset is not None else {}
        parameters |= {"lists": "true"} if lists else {}
        asked = urllib.request.Request(
            f"{url.rstrip('/')}/explain?{urllib.parse.urlencode(parameters)}",
            data=_body(str(body_file)),
            headers=DEFAULT_HEADERS | dict(map(_header, headers)),
            method="POST",
        )
    answer = _asked(asked)
    if as_json:
        click.echo(answer)
        return
    from epp.explain.text import readable

    try:
        shown = readable(orjson.loads(answer))
    except (KeyError, TypeError, ValueError, AttributeError):
        _end(f"{asked.full_url}: the answer is no explanation; is this a picker's metrics port?")
    click.echo(shown, nl=False)


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
def replay(file: str) -> None:
    """Take the decision of a file of `epp explain --json` again, and compare.

    Ends with status 0 if it is the same, 1 if it is not or cannot be taken again.
    """
    from epp.explain.replay import CannotReplay
    from epp.explain.replay import replay as take_again
    from epp.explain.text import readable

    try:
        recorded = orjson.loads(_body(file))
    except orjson.JSONDecodeError as error:
        _end(f"{file}: {error}")
    if not isinstance(recorded, dict):
        _end(f"{file}: is not an explanation")
    try:
        again = take_again(recorded)
        differences = again.differences(recorded)
        decided = {"steps": again.steps, "decision": again.decision, "shadows": []}
        shown = readable({**recorded, **decided})
    except CannotReplay as error:
        _end(f"{file}: {error}")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        _end(f"{file}: is not an explanation: {type(error).__name__}: {error}")
    click.echo(shown, nl=False)
    for difference in differences:
        click.echo(f"differs: {difference}", err=True)
    if differences:
        sys.exit(1)
    click.echo("\nthe same as recorded")


def _body(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        _end(f"{file}: {error.strerror or error}")


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise click.UsageError(f"--header: {text!r} is not name: value")
    return name.strip().lower(), value.strip()


def _asked(request: urllib.request.Request) -> bytes:
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
            body: bytes = answer.read()
            return body
    except urllib.error.HTTPError as error:
        _end(f"{request.full_url}: {error.code} {error.read().decode(errors='replace').strip()}")
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason: Any = getattr(error, "reason", None) or error
        _end(f"{request.full_url}: {reason}")


def _end(text: str) -> NoReturn:
    click.echo(f"epp: {text}", err=True)
    sys.exit(1)
