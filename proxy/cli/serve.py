"""`srproxy serve`: the proxy in the foreground."""

import click

from proxy.cli.exits import Exit
from proxy.cli.help import examples
from proxy.cli.hosting import announce, make_app, prepare, serve_until_stopped
from proxy.cli.session import Session, fast_loop, with_session
from proxy.config import Config


@click.command(
    epilog=examples(
        "srproxy serve -c config.yaml",
        "SRPROXY_LISTEN__PORT=0 srproxy serve",
        environ=(
            "SRPROXY_CONFIG           the configuration file",
            "SRPROXY_SECTION__KEY     any key of it, such as SRPROXY_LISTEN__PORT (default: 8080)",
            "HTTPS_PROXY, NO_PROXY    the outbound proxy, unless upstream.proxy is set",
        ),
    )
)
@with_session
def serve(session: Session) -> Exit:
    """Run the proxy until SIGTERM or SIGINT, then finish what is in flight and end with 0.

    A second signal ends at once. The log goes to stderr: text on a terminal, JSON lines otherwise.
    """
    import asyncio

    prepare(session)
    with asyncio.Runner(loop_factory=fast_loop) as runner:
        runner.run(_serve(session))
    return Exit.DONE


async def _serve(session: Session) -> None:
    app = make_app(session)
    await app.start()
    try:
        announce(app, session, _notes(session.config))
        await serve_until_stopped(session, app)
    finally:
        await app.stop()


def _notes(config: Config) -> dict[str, str]:
    return {
        "upstream": config.upstream.url,
        "store": config.tokens.store,
        "callers": "API key" if config.access.api_keys else "anyone who reaches it",
    }
