"""Numbers and instants in words for people."""

from datetime import UTC, datetime

STEPS = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


def duration(seconds: float) -> str:
    """Say a duration in its one or two largest units."""
    left = max(0, int(seconds))
    parts: list[str] = []
    for size, unit in STEPS:
        count, left = divmod(left, size)
        if count or (unit == "second" and not parts):
            parts.append(f"{count} {unit}{'' if count == 1 else 's'}")
        elif parts:
            break
        if len(parts) == 2:
            break
    return " ".join(parts)


def size(count: int) -> str:
    """Say a number of bytes."""
    if count < 1000:
        return f"{count} B"
    for factor, unit in ((1e3, "kB"), (1e6, "MB"), (1e9, "GB")):
        if count < factor * 1000 or unit == "GB":
            value = count / factor
            return f"{value:.0f} {unit}" if value >= 100 else f"{value:.1f} {unit}"
    raise AssertionError


def milliseconds(seconds: float) -> str:
    """Say how long a request took."""
    value = seconds * 1000
    if value < 10:
        return f"{value:.1f} ms"
    return f"{value:.0f} ms" if value < 10_000 else f"{value / 1000:.1f} s"


def moment(seconds: float, style: str) -> str:
    """Write an instant in UTC: its `clock`, its `day`, or both (`full`)."""
    at = datetime.fromtimestamp(seconds, UTC)
    if style == "clock":
        return f"{at:%H:%M:%S}"
    day = f"{at.day} {at:%B}"
    return f"{day} {at.year}" if style == "day" else f"{day}, {at:%H:%M} UTC"
