"""A proxy of one's own in front of a sandbox, and a person with a browser."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from proxy.sandbox import SandboxSettings
from tests.support.processes import Process, free_port, start, wait_until_answers
from tests.support.sandboxes import RunningSandbox, running_sandbox


class Proxy:
    """`srproxy serve` with a configuration file, started and stopped as a user would."""

    def __init__(self, home: Path, port: int, config: dict[str, Any]) -> None:
        self.home = home
        self.config = config
        self.url = f"http://localhost:{port}"
        self.file = home / "config.yaml"
        self._process: Process | None = None
        # What earlier processes wrote, for tests that look for what must not be there.
        self.outputs: list[str] = []

    @property
    def process(self) -> Process:
        assert self._process is not None
        return self._process

    def start(self) -> None:
        self.write_config()
        self._process = start("serve", "-c", str(self.file), home=self.home)
        self.process.wait_for_output("listening")
        wait_until_answers(f"{self.url}/-/live")

    def write_config(self) -> None:
        self.file.write_text(yaml.safe_dump(self.config))

    def stop(self) -> int:
        code = self.process.stop()
        self.outputs += [self.process.stdout, self.process.stderr]
        self._process = None
        return code

    def restart(self) -> None:
        assert self.stop() == 0
        self.start()

    @property
    def output(self) -> str:
        running = [self._process] if self._process else []
        return "".join(self.outputs + [text for p in running for text in (p.stdout, p.stderr)])

    def account(self) -> dict[str, Any]:
        status = requests.get(f"{self.url}/-/status", timeout=10).json()
        account: dict[str, Any] = status["accounts"][0]
        return account


class Person:
    """Somebody with a browser: cookies, redirects, and a hand to click with."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.browser = requests.Session()
        self.browser.trust_env = False
        self.browser.headers["Accept"] = "text/html,application/xhtml+xml,*/*;q=0.8"

    def open_login(self, url: str | None = None) -> requests.Response:
        """Follow the login link to the consent page."""
        page = self.browser.get(url or f"{self.proxy.url}/-/login", timeout=10)
        assert "Authorize" in page.text, page.text
        return page

    def decide(self, page: requests.Response, decision: str) -> requests.Response:
        """Press a button of the consent page and follow where it leads."""
        return self.browser.post(page.url, data={"decision": decision}, timeout=20)

    def log_in(self) -> requests.Response:
        done = self.decide(self.open_login(), "authorize")
        assert done.status_code == 200, done.text
        return done


@pytest.fixture
def sandbox_settings() -> SandboxSettings:
    return SandboxSettings(throttle=False)


@pytest.fixture
def callback_path() -> str:
    return "/-/callback"


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def sandbox(
    sandbox_settings: SandboxSettings, port: int, callback_path: str
) -> Iterator[RunningSandbox]:
    redirect_uri = f"http://localhost:{port}{callback_path}"
    fields = {name: getattr(sandbox_settings, name) for name in sandbox_settings.__slots__}
    settings = SandboxSettings(**{**fields, "redirect_uris": (redirect_uri,)})
    with running_sandbox(settings) as sandbox:
        yield sandbox


@pytest.fixture
def overrides() -> dict[str, Any]:
    """Give sections of the configuration that a test wants otherwise."""
    return {}


@pytest.fixture
def proxy(
    tmp_path: Path, sandbox: RunningSandbox, port: int, overrides: dict[str, Any]
) -> Iterator[Proxy]:
    config: dict[str, Any] = {
        "listen": {"port": port},
        "oauth": {
            "client_id": sandbox.settings.client_id,
            "client_secret": sandbox.settings.client_secret,
            "redirect_uri": sandbox.settings.redirect_uris[0],
            "authorization_endpoint": sandbox.authorization_endpoint,
            "token_endpoint": sandbox.token_endpoint,
        },
        "upstream": {"url": sandbox.origin},
        "tokens": {"path": str(tmp_path / "tokens")},
        "log": {"level": "debug"},
        # The sandbox counts and refuses nothing here: pacing would only take time.
        "limits": {"mode": "pace" if sandbox.settings.throttle else "pass"},
    }
    for section, keys in overrides.items():
        config[section] = {**config.get(section, {}), **keys}
    proxy = Proxy(tmp_path, port, config)
    proxy.start()
    yield proxy
    if proxy._process is not None:
        proxy.stop()


@pytest.fixture
def person(proxy: Proxy) -> Iterator[Person]:
    person = Person(proxy)
    yield person
    person.browser.close()


def wait_until(holds: Callable[[], bool], patience: float = 15) -> None:
    """Ask again and again until it holds."""
    until = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < until, "it never held"
        time.sleep(0.05)
