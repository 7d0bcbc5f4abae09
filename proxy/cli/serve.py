"""`srproxy serve`: the proxy in the foreground."""

from pathlib import Path

import click

from proxy.cli.exits import Exit
from proxy.cli.help import examples
from proxy.cli.hosting import announce, make_app, prepare, serve_until_stopped
from proxy.cli.loop import asked_by_signals, fast_loop
from proxy.cli.session import Session, with_session
from proxy.cli.signals import end_quietly_on_signals


@click.command(
    epilog=examples(
        "srproxy serve -c config.yaml",
        "srproxy serve --port 0",
        environ=(
            "SRPROXY_CONFIG           the configuration file",
            "SRPROXY_SECTION__KEY     any key of it, such as SRPROXY_LISTEN__PORT (default: 8080)",
            "HTTPS_PROXY, NO_PROXY    the outbound proxy, unless upstream.proxy is set",
        ),
    )
)
@click.option("--port", type=click.IntRange(0, 65535), metavar="N", help="In place of listen.port.")
@click.option("--inspect", is_flag=True, help="Keep the last requests to look at on the page.")
@click.option("--dry-run", is_flag=True, help="Answer writes here, and forward none.")
@click.option(
    "--record",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.har",
    help="Append finished calls to a HAR file, for srproxy replay; credentials are masked.",
)
@with_session
def serve(
    session: Session, port: int | None, inspect: bool, dry_run: bool, record: Path | None
) -> Exit:
    """Run the proxy until SIGTERM or SIGINT, then finish what is in flight and end with 0.

    A second signal ends at once. Closing the terminal stops in order too; without a terminal SIGHUP
    reloads. With listen.port: 0 the address is printed to stdout. The log goes to stderr: text on a
    terminal, JSON lines otherwise.
    """
    import asyncio

    end_quietly_on_signals()
    flags = {
        "listen.port": str(port) if port is not None else None,
        "inspect.enabled": "true" if inspect else None,
        "access.dry_run": "true" if dry_run else None,
    }
    session.flags = {key: value for key, value in flags.items() if value is not None}
    prepare(session)
    with asyncio.Runner(loop_factory=fast_loop) as runner:
        runner.run(_serve(session, record))
    return Exit.DONE


async def _serve(session: Session, record: Path | None) -> None:
    with asked_by_signals() as asked:
        app = make_app(session, record=record)
        await app.start()
        try:
            if session.config.listen.port == 0 and session.config.listen.host is not None:
                # It was asked for: whoever lets us pick a port reads it here.
                click.echo(app.base_url)
            announce(app, session)
            await serve_until_stopped(session, app, asked)
        finally:
            await app.stop()
