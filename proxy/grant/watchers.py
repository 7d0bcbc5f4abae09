"""The subscribers of a grant, called on every change that they could see and on no other."""

from collections.abc import Callable

from proxy.grant.status import AccountStatus


class Watchers:
    """The callbacks, and what was told last."""

    def __init__(self) -> None:
        self._callbacks: list[Callable[[], None]] = []
        self._told: tuple[object, ...] = ()

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back until the returned function is called."""
        self._callbacks.append(callback)

        def unsubscribe() -> None:
            if callback in self._callbacks:
                self._callbacks.remove(callback)

        return unsubscribe

    def tell(self, status: AccountStatus) -> None:
        """Tell the watchers, if anything that they can see has changed."""
        told = (
            status.state,
            status.reason,
            status.detail,
            status.generation,
            status.last_refresh,
            status.warnings,
            status.subject,
            status.tokens is None,
        )
        if told == self._told:
            return
        self._told = told
        for callback in list(self._callbacks):
            callback()
