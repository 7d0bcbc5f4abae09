"""The table of docs/configuration.md, made from the model.

`python -m tests.support.reference` writes it anew.
"""

from collections.abc import Iterator
from pathlib import Path

import yaml

from proxy.config import Config
from proxy.config.section import Key, Section, Shape, keys

DOCUMENT = Path(__file__).parents[2] / "docs/configuration.md"
HEAD = "| key | default | what it is |\n| --- | --- | --- |\n"
REQUIRED = {"oauth.client_id", "oauth.client_secret"}


def every_setting(kind: type[Section] = Config, path: str = "") -> Iterator[tuple[str, Key]]:
    """Every key that a file may set, sections themselves excepted."""
    for name, key in keys(kind).items():
        if key.shape is Shape.SECTION and key.section is not None:
            yield from every_setting(key.section, f"{path}{name}.")
        else:
            yield f"{path}{name}", key


def shown(name: str, default: object) -> str:
    """A default as somebody would write it into the file."""
    match default:
        case _ if name in REQUIRED:
            return "required"
        case str() if yaml.safe_load(default) == default:
            text = default
        case str():
            text = f'"{default}"'
        case float():
            text = f"{default:g}" if default < 1e6 else f"{default:.0f}"
            text = str(int(default)) if default == int(default) else text
        case tuple():
            text = str(list(default))
        case _:
            text = yaml.safe_dump(default, default_flow_style=True).split("\n")[0]
    return f"`{text}`"


def table() -> str:
    """The whole table."""
    return HEAD + "".join(
        f"| `{name}` | {shown(name, key.default)} | {key.about} |\n"
        for name, key in every_setting()
    )


if __name__ == "__main__":
    before, _, rest = DOCUMENT.read_text().partition(HEAD)
    after = rest.partition("\n\n")
    DOCUMENT.write_text(before + table() + (f"\n{after[2]}" if after[1] else ""))
