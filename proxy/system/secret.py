"""Secret: a value that cannot be printed, formatted, pickled or compared loosely.

Every credential in the program (client secret, tokens, keys, passphrases) travels in this type.
There is one way out, `reveal()`, so that a reader can find every place where a secret is used. The
log's last filter knows every living one, by weak references, and masks its value wherever it turns
up: none has to be registered.
"""

from typing import ClassVar, NoReturn
from weakref import WeakValueDictionary

MASK = "**********"


class Secret:
    """A hidden string; `reveal()` is the only way to its value."""

    __slots__ = ("__weakref__", "_value")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, value: str) -> None:
        self._value = value
        _Known.made += 1
        _Known.living[id(self)] = self

    def reveal(self) -> str:
        """Return the value itself: for the wire, the store and a constant-time comparison."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __str__(self) -> str:
        return MASK

    def __repr__(self) -> str:
        return f"Secret('{MASK}')"

    def __format__(self, spec: str) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        """Compare in constant time with another Secret; anything else is a programming error."""
        if not isinstance(other, Secret):
            raise TypeError("a Secret is compared only with a Secret")
        import hmac  # it brings OpenSSL's digests, which most commands never need

        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled")

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> "Secret":
        return self


class _Known:
    living: ClassVar[WeakValueDictionary[int, Secret]] = WeakValueDictionary()
    made = 0


def living_secrets() -> list[Secret]:
    """Return every Secret that exists at the moment."""
    return list(_Known.living.values())


def secrets_made() -> int:
    """Return how many were ever made: it changes whenever `living_secrets` has a new one."""
    return _Known.made
