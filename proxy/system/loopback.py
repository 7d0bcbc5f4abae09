"""Which host names are this machine itself."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine by its very name: no resolver is asked."""
    host = host.lower().strip("[]").removesuffix(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
