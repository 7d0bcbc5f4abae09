"""Opening a page in the person's browser."""

import sys
import threading
import webbrowser
from collections.abc import Mapping


def has_browser(environ: Mapping[str, str]) -> bool:
    """Tell whether there is a graphical browser: a text one would take over the terminal."""
    if environ.get("BROWSER") or sys.platform in ("darwin", "win32"):
        return True
    return bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"))


def open_browser(url: str) -> threading.Thread:
    """Open a page, in a thread of its own: some browsers return only when they are closed."""
    thread = threading.Thread(target=webbrowser.open, args=(url,), daemon=True)
    thread.start()
    return thread
