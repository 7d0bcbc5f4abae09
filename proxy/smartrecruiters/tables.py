"""The data files beside this module: rows of fields, in the order of the file."""

import pkgutil
from collections.abc import Iterator


def read_table(name: str) -> Iterator[list[str]]:
    """Read the rows of one of our own files; lines that begin with # say what the file is."""
    data = pkgutil.get_data(__package__, name)
    if data is None:  # pragma: no cover - only a loader that keeps no data files
        raise FileNotFoundError(f"{name} is missing from the installed package {__package__}.")
    for line in data.decode("utf-8").splitlines():
        if line and not line.startswith("#"):
            yield line.split("\t")
