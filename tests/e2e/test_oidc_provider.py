"""The same grant against npm's oidc-provider: strict, and written by nobody here.

It rotates refresh tokens, and one that is presented twice ends the grant. Only its endpoints are in
the configuration; nothing else of the program differs.
"""

import asyncio
import base64
import hashlib
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
import requests

from proxy.cli.clock import SystemClock
from proxy.config import Config
from proxy.errors import Problem
from proxy.grant.accounts import open_endpoint
from proxy.grant.manager import TokenManager
from proxy.grant.oauth import build_authorization_url, parse_callback
from proxy.grant.stores.file import FileStore
from proxy.system.secret import Secret
from tests.support.granting import token_of

HERE = Path(__file__).parent / "oidc"
REDIRECT_URI = "http://localhost:8080/-/callback"
LIFETIME = 2
VERIFIER = "v" * 50


@pytest.fixture(scope="module")
def installed(pytestconfig: pytest.Config) -> Path:
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    cache = pytestconfig.cache
    assert cache is not None
    folder = cache.mkdir("oidc-provider")
    shutil.copy(HERE / "package.json", folder)
    shutil.copy(HERE / "provider.js", folder)
    if not (folder / "node_modules" / "oidc-provider").is_dir():
        done = subprocess.run(
            ["npm", "install", "--no-audit", "--no-fund", "--silent"],
            cwd=folder, capture_output=True, text=True, timeout=180, check=False,
        )  # fmt: skip
        if done.returncode:
            pytest.skip(f"could not fetch oidc-provider: {done.stderr.strip()[:200]}")
    return folder


@dataclass
class Provider:
    issuer: str
    config: Config

    def authorize(self) -> Secret:
        """Log in and consent as a person would, and bring the code back."""
        challenge = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest())
        url = build_authorization_url(
            self.config.oauth, "the-state", challenge.rstrip(b"=").decode()
        )
        with requests.Session() as browser:
            browser.trust_env = False
            answer = browser.get(url, allow_redirects=False, timeout=20)
            for _ in range(20):
                location = answer.headers.get("Location")
                if location is not None:
                    if location.startswith(REDIRECT_URI):
                        break
                    url = urljoin(answer.url, location)
                    answer = browser.get(url, allow_redirects=False, timeout=20)
                    continue
                action = re.search(r'action="([^"]+)"', answer.text)
                prompt = re.search(r'name="prompt" value="([^"]+)"', answer.text)
                assert action, answer.text
                assert prompt, answer.text
                fields = {"prompt": prompt[1], "login": "ana", "password": "any"}
                url = urljoin(answer.url, action[1])
                answer = browser.post(url, data=fields, allow_redirects=False, timeout=20)
        callback = parse_callback(urlsplit(answer.headers["Location"]).query)
        assert callback.code is not None, answer.headers["Location"]
        assert callback.state == "the-state"
        assert callback.iss == self.issuer
        return callback.code


@pytest.fixture
def provider(installed: Path) -> Iterator[Provider]:
    node = shutil.which("node")
    assert node is not None
    process = subprocess.Popen(
        [node, "provider.js", "the-client", "client-secret-0123456789", REDIRECT_URI,
         str(LIFETIME)],
        cwd=installed, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    issuer = next(line.strip() for line in process.stdout if line.startswith("http"))
    oauth: dict[str, Any] = {
        "client_id": "the-client",
        "client_secret": "client-secret-0123456789",
        "redirect_uri": REDIRECT_URI,
        "scopes": ["openid", "offline_access"],
        "authorization_endpoint": f"{issuer}/auth",
        "token_endpoint": f"{issuer}/token",
        "authorization_params": {"response_type": "code", "prompt": "consent"},
        "pkce": True,
    }
    yield Provider(issuer, Config.build({"oauth": oauth}))
    process.stdin.close()
    process.wait(20)
    process.stdout.close()


class Keeper:
    """A manager on a folder, as one process has it."""

    def __init__(self, provider: Provider, folder: Path) -> None:
        clock = SystemClock()
        self.endpoint = open_endpoint(provider.config, clock, {})
        self.store = FileStore(folder, clock)
        self.manager = TokenManager("default", self.store, self.endpoint, provider.config, clock)

    async def __aenter__(self) -> TokenManager:
        await self.manager.start()
        return self.manager

    async def __aexit__(self, *_: object) -> None:
        await self.manager.close()
        await self.store.close()


async def is_accepted(provider: Provider, token: str) -> bool:
    def ask() -> bool:
        headers = {"Authorization": f"Bearer {token}"}
        answer = requests.get(f"{provider.issuer}/me", headers=headers, timeout=20)
        return answer.status_code == 200

    return await asyncio.to_thread(ask)


async def test_rotation_after_rotation_across_restarts_and_processes(
    provider: Provider, tmp_path: Path
) -> None:
    code = await asyncio.to_thread(provider.authorize)
    async with Keeper(provider, tmp_path) as manager:
        await manager.exchange(code, Secret(VERIFIER))
        assert manager.status().scopes == ("openid", "offline_access")
        generations = []
        for _ in range(3):
            credential = await manager.credential()
            newer = await manager.rejected(credential.generation)
            generations.append((newer or credential).generation)
            assert await is_accepted(provider, token_of(newer or credential))
    async with Keeper(provider, tmp_path) as first, Keeper(provider, tmp_path) as second:
        await asyncio.sleep(LIFETIME)  # the access token's end, on the provider's own clock
        both = await asyncio.gather(*(m.credential() for m in (first, second) * 20))
        assert {credential.generation for credential in both} == {generations[-1] + 1}
        assert await is_accepted(provider, token_of(both[0]))


async def test_a_token_presented_twice_ends_the_grant_and_is_told_so(
    provider: Provider, tmp_path: Path
) -> None:
    code = await asyncio.to_thread(provider.authorize)
    async with Keeper(provider, tmp_path) as manager:
        await manager.exchange(code, Secret(VERIFIER))
        record = await manager._store.load("default")
        assert record is not None
        assert record.tokens is not None
        await manager.rejected(1)
        with pytest.raises(Exception, match="invalid_grant"):
            await manager._endpoint.refresh(record.tokens)
        await asyncio.sleep(LIFETIME)
        with pytest.raises(Problem) as caught:
            await manager.credential()

    assert (caught.value.code, caught.value.reason) == ("login_required", "grant_revoked")
    assert "another copy" in caught.value.detail


async def test_a_code_that_was_taken_is_not_presented_again(
    provider: Provider, tmp_path: Path
) -> None:
    code = await asyncio.to_thread(provider.authorize)
    async with Keeper(provider, tmp_path) as manager:
        await manager.exchange(code, Secret(VERIFIER))
        with pytest.raises(Exception, match="was opened before"):
            await manager.exchange(code, Secret(VERIFIER))

        assert manager.status().state == "authorized"
