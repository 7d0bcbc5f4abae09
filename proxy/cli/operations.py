"""`srproxy operations`: what SmartRecruiters' API can be asked, from the list in the package."""

import json

import click

from proxy.cli.exits import Exit, tell
from proxy.cli.help import examples
from proxy.cli.session import Session, with_session
from proxy.smartrecruiters.collection import build_collection
from proxy.smartrecruiters.limits import limits_of
from proxy.smartrecruiters.operations import Operation, search
from proxy.smartrecruiters.scopes import scopes_of

METHOD_WIDTH = 6
LIMIT_WIDTH = 16


@click.command(
    epilog=examples(
        "srproxy operations candidates tags",
        "srproxy operations --postman > smartrecruiters.postman_collection.json",
    )
)
@click.option("--postman", is_flag=True, help="Print a Postman collection (v2.1) of them.")
@click.argument("words", nargs=-1, metavar="[WORD]...")
@with_session
def operations(session: Session, words: tuple[str, ...], *, postman: bool) -> Exit:
    """List SmartRecruiters' operations whose name or area holds all the WORDs.

    Method, path, limit, and the scopes needed where they are known (any one of them suffices).
    Needs no configuration and asks nobody; with -c FILE the collection is for its address.
    """
    found = search(words)
    if not found:
        tell(f"no operation holds {' and '.join(map(repr, words))}")
        return Exit.FAILED
    if postman:
        click.echo(json.dumps(_collection(session, found), indent=2))
    else:
        click.echo("\n".join(_rows(found)))
    return Exit.DONE


def _collection(session: Session, found: list[Operation]) -> object:
    if session.file is None:
        return build_collection(found, "http://localhost:8080")
    config = session.config
    host = config.listen.host or "localhost"
    scheme = "https" if config.listen.tls.cert_file else "http"
    return build_collection(
        found,
        f"{scheme}://{f'[{host}]' if ':' in host else host}:{config.listen.port}",
        keys_required=bool(config.access.api_keys),
    )


def _rows(found: list[Operation]) -> list[str]:
    width = max(len(operation.path) for operation in found)
    return [
        f"{operation.method:<{METHOD_WIDTH}}  {operation.path:<{width}}  "
        f"{_limit(operation):<{LIMIT_WIDTH}}  {_scopes(operation)}".rstrip()
        for operation in found
    ]


def _limit(operation: Operation) -> str:
    limits = limits_of(operation.name)
    text = f"{limits.per_second}/s"
    return f"{text}, {limits.at_once} at once" if limits.at_once else text


def _scopes(operation: Operation) -> str:
    known = scopes_of(operation)
    return " or ".join(known.any_of) if known else ""
