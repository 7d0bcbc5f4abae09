"""Kinds of values that several sections have."""

from proxy.config import values

DAY = 86400
MEBIBYTE = 1024 * 1024
PEM = "a file with certificates in PEM form"

SECONDS = values.seconds(DAY)
SECONDS_OR_ZERO = values.seconds(DAY, zero=True)
PORT = values.whole(0, 65535)
