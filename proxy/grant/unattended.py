"""What accounts without a login share: nobody logs in or out, and no grant can be moved."""

from collections.abc import Callable

from proxy.errors import Problem
from proxy.grant.changes import Admit
from proxy.grant.oauth import TokenSet
from proxy.grant.watchers import Watchers
from proxy.system.secret import Secret


class Unattended:
    """The methods of `Account` that these refuse, or have nothing to do for."""

    # What the account uses in place of a login, for people.
    means = ""

    def __init__(self, account: str) -> None:
        self.account = account
        self._subject: str | None = None
        self._watchers = Watchers()

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back on every change of state, until the returned function is called."""
        return self._watchers.subscribe(callback)

    async def load(self) -> None:
        """Do nothing: nothing is stored."""

    def login_problem(self) -> Problem:
        """Return why nobody can log in here."""
        return Problem(
            "bad_request",
            f"The account {self.account} uses {self.means}: nobody logs in to it, and it has no "
            "grant to forget or to move.",
            status=409,
            reason="no_login",
        )

    async def exchange(
        self,
        code: Secret,  # noqa: ARG002
        code_verifier: Secret | None = None,  # noqa: ARG002
        admit: Admit | None = None,  # noqa: ARG002
    ) -> None:
        """Refuse."""
        raise self.login_problem()

    async def take(self, fresh: TokenSet, subject: str | None) -> None:  # noqa: ARG002
        """Refuse."""
        raise self.login_problem()

    async def logout(self) -> None:
        """Refuse."""
        raise self.login_problem()

    async def export(
        self,
        passphrase: Secret,  # noqa: ARG002
        deliver: Callable[[bytes], None],  # noqa: ARG002
    ) -> str:
        """Refuse."""
        raise self.login_problem()

    async def import_bundle(self, data: bytes, passphrase: Secret) -> None:  # noqa: ARG002
        """Refuse."""
        raise self.login_problem()

    async def set_subject(self, subject: str) -> None:
        """Remember whose credential it is, for as long as the program runs."""
        self._subject = subject
