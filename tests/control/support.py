"""Steps that many tests of the control routes take."""

from urllib.parse import parse_qs, urlsplit

from aiohttp import ClientResponse

from tests.control.conftest import BROWSER, Client

CALLBACK = "/-/callback"


def cookies_of(answer: ClientResponse) -> dict[str, str]:
    return {name: morsel.value for name, morsel in answer.cookies.items() if morsel.value}


def cookie_header(cookies: dict[str, str]) -> dict[str, str]:
    return {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}


async def begin(client: Client, path: str = "/-/login") -> tuple[str, dict[str, str]]:
    """Begin a login as a browser; return its state and the cookies it set."""
    answer = await client.get(path, allow_redirects=False, headers=BROWSER)
    assert answer.status == 302
    query = parse_qs(urlsplit(answer.headers["Location"]).query)
    return query["state"][0], cookies_of(answer)


async def come_back(
    client: Client, query: str, cookies: dict[str, str], **headers: str
) -> ClientResponse:
    """Come back from the authorization endpoint with a query and cookies."""
    return await client.get(
        f"{CALLBACK}?{query}", headers={**BROWSER, **cookie_header(cookies), **headers}
    )
