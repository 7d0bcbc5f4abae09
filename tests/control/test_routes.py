"""The lists of our own routes agree: what is served, guarded, audited, reserved and documented."""

import re
from pathlib import Path

from proxy.config.addresses import OWN_REQUESTS, OWN_ROUTES
from proxy.control.auditing import ACTIONS
from proxy.gateway.guards.routes import OWN_PATHS
from tests.control.conftest import Serve

BEHAVIOUR = (Path(__file__).parents[2] / "docs/behaviour.md").read_text()
# Its audit line is written when the login ends.
BEGINS_A_LOGIN = ("POST", "/-/login")


def documented() -> set[tuple[str, str]]:
    """Methods and paths of the table's first column, but for the callback's."""
    table = BEHAVIOUR.partition("## Routes\n")[2].partition("| anything else under")[0]
    cells = re.findall(r"^\| (.+?) \|", table, re.MULTILINE)
    return {found for cell in cells for found in re.findall(r"`([A-Z]+) (/-/[^`\[]*)", cell)}


async def served(serve: Serve) -> set[tuple[str, str]]:
    """Methods and paths, as the routes' own 404 and 405 list them; HEAD comes with GET."""
    client = await serve()
    answer = await client.get("/-/nothing")
    paths = re.search(r"Its own are: ([^\s,]+(?:, [^\s,]+)*)\.", (await answer.json())["detail"])
    assert paths
    found = set()
    for path in paths[1].split(", "):
        if "ID" in path:
            found.add(("POST" if path.endswith("/replay") else "GET", path))
            continue
        refused = await client.request("PURGE", path)
        assert refused.status == 405, path
        found |= {(method, path) for method in refused.headers["Allow"].split(", ")}
    return {(method, path) for method, path in found if method != "HEAD"}


async def test_each_route_is_documented_and_each_documented_one_is_served(serve: Serve) -> None:
    assert documented() == await served(serve)


async def test_no_redirect_uri_can_hide_a_route(serve: Serve) -> None:
    paths = {path for _, path in await served(serve)}

    assert {path for path in paths if "ID" not in path} == OWN_ROUTES
    assert all(path.startswith(f"{OWN_REQUESTS}/") for path in paths - OWN_ROUTES)


async def test_each_path_that_the_guards_name_is_served(serve: Serve) -> None:
    assert {path.decode() for path in OWN_PATHS} <= {path for _, path in await served(serve)}


async def test_each_route_that_acts_is_audited(serve: Serve) -> None:
    acting = {(method, path) for method, path in await served(serve) if method == "POST"}

    assert acting == {*ACTIONS, BEGINS_A_LOGIN, ("POST", "/-/requests/ID/replay")}
