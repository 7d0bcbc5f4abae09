"""`POST /-/reload`: applies what may change while running, or says what is wrong."""

from proxy.control.answers import as_json
from proxy.control.context import ControlContext
from proxy.errors import ConfigurationError, Problem
from proxy.messages import Answer, Request


class Reloading:
    """The handler."""

    def __init__(self, context: ControlContext) -> None:
        self._context = context

    async def reload(self, _: Request) -> Answer:
        """Answer 200 with the keys that changed, or 422 with the faults: nothing changed then."""
        reload = self._context.reload
        if reload is None:
            raise Problem("not_found", "This server has no configuration to read again.")
        try:
            changes = await reload()
        except ConfigurationError as error:
            raise Problem(
                "configuration_error",
                "The configuration has faults, and nothing was changed. "
                + " | ".join(error.problems),
            ) from error
        return as_json(
            {"taken_up": list(changes.taken_up), "need_restart": list(changes.need_restart)}
        )
