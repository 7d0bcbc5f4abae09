"""A real Chromium on the whole product: `srproxy sandbox` in a process of its own.

Every page is watched: an error in its console or a request to another host fails the test.
"""

import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.processes import free_port, running, wait_until_answers

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run",
)  # fmt: skip
# What a page may say when the proxy under it was stopped, or refused what a test sent on purpose.
EXPECTED_ERRORS = (
    "ERR_CONNECTION_REFUSED", "ERR_FAILED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "status of 4",
    "status of 503",
)  # fmt: skip


class Product:
    """The sandbox with the proxy in front, on two ports."""

    def __init__(
        self,
        port: int,
        sandbox_port: int,
        home: Path,
        options: tuple[str, ...],
        environ: dict[str, str],
    ) -> None:
        self.port = port
        self.url = f"http://localhost:{port}"
        self._home = home
        self._environ = environ
        self._arguments = (
            "sandbox", "--port", str(port), "--sandbox-port", str(sandbox_port), *options,
        )  # fmt: skip

    def run(self) -> Any:
        """Run it for a while; it may be run again."""
        return running(*self._arguments, home=self._home, environ=self._environ)

    def wait(self) -> None:
        wait_until_answers(f"{self.url}/-/live")


Begin = Callable[..., Product]


@pytest.fixture(scope="session")
def products(tmp_path_factory: pytest.TempPathFactory) -> Begin:
    """Make a product of a test's own, for what would disturb the others."""

    def make(*options: str, **environ: str) -> Product:
        home = tmp_path_factory.mktemp("product")
        return Product(free_port(), free_port(), home, options, environ)

    return make


@pytest.fixture(scope="session")
def shared_product(products: Begin) -> Iterator[Product]:
    made = products()
    with made.run():
        made.wait()
        yield made


@pytest.fixture
def product(shared_product: Product) -> Product:
    """The product with nobody logged in."""
    request = urllib.request.Request(f"{shared_product.url}/-/logout", method="POST")
    urllib.request.urlopen(request, timeout=10).close()
    return shared_product


# A module's, not the session's: the driver runs an event loop in this thread for as long as it
# lives, and the asyncio tests that come after the module would find it running.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is not installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=list(ARGUMENTS))
        yield browser
        browser.close()


class Watch:
    """What the pages of a test said and asked for."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.hosts: set[str] = set()

    def over(self, page: Any) -> None:
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self._asked(request.url))

    def _said(self, message: Any) -> None:
        if message.type in ("error", "warning") and not any(
            expected in message.text for expected in EXPECTED_ERRORS
        ):
            self.errors.append(message.text)

    def _asked(self, url: str) -> None:
        if not url.startswith("data:"):
            self.hosts.add(urlsplit(url).hostname or "")


OpenPage = Callable[..., Any]


@pytest.fixture
def open_page(chromium: Any) -> Iterator[OpenPage]:
    """Open a page in a browser profile of its own."""
    watch = Watch()
    contexts = []

    def open_(**options: Any) -> Any:
        context = chromium.new_context(**options)
        context.set_default_timeout(10_000)
        contexts.append(context)
        context.on("page", watch.over)
        return context.new_page()

    yield open_
    for context in contexts:
        context.close()
    assert watch.errors == []
    assert watch.hosts <= {"localhost", "127.0.0.1"}
