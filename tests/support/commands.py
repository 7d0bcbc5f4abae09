"""docs/commands.md, made from what `--help` says.

`python -m tests.support.commands` writes it anew.
"""

from pathlib import Path

import click

from proxy.cli import COMMANDS, PROGRAM, cli

DOCUMENT = Path(__file__).parents[2] / "docs/commands.md"
HEAD = """\
# Commands

What `--help` says of `srproxy` and of each of its commands.
"""


def document() -> str:
    """The whole document."""
    parent = _context(cli, PROGRAM, None)
    found = {name: cli.get_command(parent, name) for name in COMMANDS}
    texts = [parent.get_help()]
    texts += [_context(command, name, parent).get_help() for name, command in found.items()]
    parts = [HEAD]
    for name, text in zip(["", *COMMANDS], texts, strict=True):
        title = f"## {name}\n\n" if name else ""
        parts.append(f"{title}```text\n{text.rstrip()}\n```\n")
    return "\n".join(parts)


def _context(
    command: click.Command | None, name: str, parent: click.Context | None
) -> click.Context:
    assert command is not None
    # A width of its own: the terminal's is whoever's runs this.
    settings = {**command.context_settings, "terminal_width": 100, "max_content_width": 100}
    return click.Context(command, info_name=name, parent=parent, **settings)


if __name__ == "__main__":
    DOCUMENT.write_text(document())
