"""The end of each command's help: two examples, as they are typed."""


def examples(*lines: str, environ: tuple[str, ...] = ()) -> str:
    """Build an epilog; click leaves a paragraph that begins with \\b as it is."""
    parts = ["\b", "Examples:", *(f"  {line}" for line in lines)]
    if environ:
        parts += ["", "\b", "Environment:", *(f"  {line}" for line in environ)]
    return "\n".join(parts)
