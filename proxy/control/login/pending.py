"""A login under way: what the browser keeps of it, and how its end is recognised.

Theory. Between `/-/login` and the callback nothing is stored here: the login lives in a cookie of
the browser that began it, signed with a key derived from the apps' secrets, so that any process or
replica of the same configuration may take the callback. The cookie's name carries a short hash of
the state, so that several logins may be under way in one browser.

- `state` is 256 random bits, bound to the browser by that cookie, compared in constant time, good
  for ten minutes and used once, which `taken` sees to (RFC 6749 section 10.12, RFC 9700 section
  4.7).
- A state that belongs to no login of this browser consumes nothing: noise cannot end a login.
- At its end the cookie is replaced by one that says how it came out: whoever opens the callback
  again is told so by any process, and after a restart.
- The PKCE verifier is derived from the state and a second key, so that it needs no storage and
  never leaves the server (RFC 7636).

Does no I/O; randomness and the clock are handed in.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass

from proxy.config import AccountConfig
from proxy.system.clock import Clock
from proxy.system.secret import Secret

# RFC 6749 section 4.1.2 recommends ten minutes at most for the code; a person needs no longer.
LIFETIME = 600
# A login may seem to begin in the future: replicas' clocks differ, and a clock may be set back
# while a person gives consent. The signature says that it is ours.
FUTURE = 86400
COOKIE_PREFIX = "srproxy_login_"
# Behind TLS: a sibling domain cannot plant a cookie of this name (RFC 6265bis section 4.1.3.2).
HOST_PREFIX = "__Host-"
# A person who clicks again and again keeps this many logins open; the oldest give way.
MOST_LOGINS = 8
SUCCEEDED = "ok"
COOKIE = b"smartrecruiters-proxy login cookie 1"
VERIFIER = b"smartrecruiters-proxy code verifier 1"


@dataclass(frozen=True, slots=True)
class Login:
    """One login that this browser began."""

    state: str
    begun_at: float
    account: str
    # How it came out, once it has: SUCCEEDED, or the reason why not.
    outcome: str | None = None

    @property
    def cookie_name(self) -> str:
        """The name of this login's own cookie."""
        return COOKIE_PREFIX + digest(self.state)[:12]


def digest(state: str) -> str:
    """Return what a login is known by where its state must not be kept."""
    return hashlib.sha256(state.encode()).hexdigest()


class Logins:
    """Begins logins, and recognises the one that an answer belongs to."""

    def __init__(
        self,
        accounts: Callable[[], Mapping[str, AccountConfig]],
        clock: Clock,
        random: Callable[[], str],
    ) -> None:
        """`accounts` returns those of now: after a reload their secrets may be others."""
        self._accounts = accounts
        self._clock = clock
        self._random = random

    def begin(self, account: str) -> Login:
        """Begin a login."""
        return Login(state=self._random(), begun_at=self._clock.now(), account=account)

    def seal(self, login: Login) -> str:
        """Return the cookie's value: the login and a signature over it."""
        payload = json.dumps(astuple(login)).encode()
        return f"{_encode(payload)}.{_encode(self._sign(payload))}"

    def pending(self, cookies: Mapping[str, str]) -> list[Login]:
        """Return the logins of a browser that may still come to their end, oldest first."""
        return [login for login in self.known(cookies) if login.outcome is None]

    def known(self, cookies: Mapping[str, str]) -> list[Login]:
        """Return the logins that a browser's cookies hold, those that are over first."""
        found = []
        for full_name, value in cookies.items():
            name = full_name.removeprefix(HOST_PREFIX)
            login = self._unseal(value) if name.startswith(COOKIE_PREFIX) else None
            if login is not None and login.cookie_name == name and self._is_current(login):
                found.append(login)
        return sorted(found, key=lambda login: (login.outcome is None, login.begun_at))

    def match(self, cookies: Mapping[str, str], state: str) -> Login | None:
        """Return this browser's login with that state; a wrong one consumes nothing."""
        match = None
        for login in self.known(cookies):
            if hmac.compare_digest(login.state.encode(), state.encode()):
                match = login
        return match

    def code_verifier(self, login: Login) -> Secret | None:
        """Return the PKCE verifier, if PKCE is on."""
        if not self._accounts()[login.account].oauth.pkce:
            return None
        return Secret(_encode(hmac.digest(self._key(VERIFIER), login.state.encode(), "sha256")))

    def code_challenge(self, login: Login) -> str | None:
        """Return the S256 challenge for the verifier, if PKCE is on (RFC 7636 section 4.2)."""
        verifier = self.code_verifier(login)
        if verifier is None:
            return None
        return _encode(hashlib.sha256(verifier.reveal().encode()).digest())

    def _key(self, label: bytes) -> bytes:
        """Derive a key of its own for each use, so that no client secret itself signs anything."""
        apps = {
            (a.oauth.client_id, a.oauth.client_secret.reveal()) for a in self._accounts().values()
        }
        ids, app_secrets = (json.dumps(part).encode() for part in zip(*sorted(apps), strict=True))
        # HKDF with SHA-256 (RFC 5869), both steps; cryptography's costs 8 MiB of memory to load.
        key = hmac.digest(ids, app_secrets, "sha256")
        return hmac.digest(key, label + b"\x01", "sha256")

    def _is_current(self, login: Login) -> bool:
        return -FUTURE <= self._clock.now() - login.begun_at <= LIFETIME

    def _sign(self, payload: bytes) -> bytes:
        return hmac.digest(self._key(COOKIE), payload, "sha256")

    def _unseal(self, value: str) -> Login | None:
        encoded, _, signature = value.partition(".")
        try:
            payload = _decode(encoded)
            if not hmac.compare_digest(_decode(signature), self._sign(payload)):
                return None
            state, begun_at, account, outcome = json.loads(payload)
        except ValueError:
            return None
        return Login(state, begun_at, account, outcome)


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
