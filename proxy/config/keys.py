"""Finds the key at a path of names, and the key that an unknown one may have been meant for."""

from collections.abc import Iterable, Iterator

from proxy.config.faults import Path, dotted
from proxy.config.section import Key, Section, Shape, keys


def section_at(kind: type[Section], path: Iterable[str | int]) -> type[Section] | None:
    """Return the section that a path leads to, through lists and free names as well."""
    found: type[Section] | None = kind
    within: type[Section] | None = None  # of a mapping: the next part is a free name
    for part in path:
        if isinstance(part, int):
            continue
        if within is not None:
            found, within = within, None
            continue
        key = keys(found).get(part) if found else None
        found = key.section if key else None
        if key and key.shape is Shape.NAMED:
            found, within = None, key.section
    return found


def key_at(kind: type[Section], path: Path) -> Key | None:
    """Return the key at a path, if there is one."""
    around = section_at(kind, path[:-1])
    return keys(around).get(str(path[-1])) if around and path else None


def secret_by_file(kind: type[Section], path: Path) -> str | None:
    """Return the name of the secret whose file a key names (`client_secret_file`), if it does."""
    name = str(path[-1])
    known = key_at(kind, (*path[:-1], name.removesuffix("_file")))
    return name.removesuffix("_file") if name.endswith("_file") and known and known.secret else None


def known_names(kind: type) -> list[str]:
    """Return the names that a section may hold, those of secrets by file included."""
    return [
        name
        for own, key in keys(kind).items()
        for name in ((own, f"{own}_file") if key.secret else (own,))
    ]


def every_key(kind: type[Section], prefix: str = "") -> Iterator[str]:
    """Return the dotted path of every key; entries of lists and of free names excepted."""
    for name in known_names(kind):
        yield f"{prefix}{name}"
        key = keys(kind).get(name)
        if key and key.shape is Shape.SECTION and key.section:
            yield from every_key(key.section, f"{prefix}{name}.")


def nearest(kind: type[Section], path: Path) -> str:
    """Say which known key an unknown one is nearest to: a sibling, else one elsewhere."""
    import difflib  # only needed for an unknown key

    name = str(path[-1])
    siblings = known_names(section_at(kind, path[:-1]) or kind)
    if close := difflib.get_close_matches(name.lower(), siblings, n=1):
        return f"did you mean {dotted((*path[:-1], close[0]))}?"
    elsewhere = {key.rpartition(".")[2]: key for key in reversed(list(every_key(kind)))}
    if close := difflib.get_close_matches(name.lower(), list(elsewhere), n=1, cutoff=0.8):
        return f"did you mean {elsewhere[close[0]]}?"
    return f"accepted: {', '.join(siblings)}"
