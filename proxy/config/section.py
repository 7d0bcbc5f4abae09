"""What the sections of the configuration are made of: frozen values with declared fields.

The functions here declare a field: its parser, its default and a sentence for
docs/configuration.md. A parser takes a plain value and returns the one that is kept, or raises
Wrong.
"""

from collections.abc import Callable, Mapping
from enum import Enum, auto
from pathlib import Path as FilePath
from typing import Any, ClassVar, NamedTuple, TypeVar, cast, dataclass_transform

from proxy.config import values
from proxy.system.secret import Secret

T = TypeVar("T")
D = TypeVar("D")
S = TypeVar("S", bound="Section")


class Shape(Enum):
    """What stands at a key."""

    VALUE = auto()
    LIST = auto()  # of values
    TEXTS = auto()  # a mapping of free names to text
    SECTION = auto()
    SECTIONS = auto()  # a list of them
    NAMED = auto()  # a mapping of free names to them
    FIXED = auto()  # no key: the program itself sets it


class Key(NamedTuple):
    """One key; `parse` is that of its value, of each item of a list, or of each free name."""

    shape: Shape
    default: object
    about: str = ""
    parse: Callable[[object], object] | None = None
    section: "type[Section] | None" = None
    secret: bool = False
    # An example of a list, for those who wrote something else.
    example: str = ""
    # Must be given; the text says what is accepted. `unless` names a key that may stand for it.
    required: str = ""
    unless: str = ""
    is_path: bool = False
    # What kind of file must be there to be read; "": none must.
    reads: str = ""


def value(parse: Callable[[object], T], default: D, about: str = "") -> T | D:
    """Declare a plain value."""
    return cast("D", Key(Shape.VALUE, default, about, parse))


def required(parse: Callable[[object], T], accepted: str) -> T:
    """Declare a value that must be given."""
    return cast("T", Key(Shape.VALUE, None, "", parse, required=accepted))


def fixed(default: T) -> T:
    """Declare a value that is no key: the program itself sets it."""
    return cast("T", Key(Shape.FIXED, default))


def secret(
    parse: Callable[[object], T],
    default: T,
    about: str = "",
    *,
    required: str = "",
    unless: str = "",
) -> T:
    """Declare a secret: it may come by a file as well, and its value is never shown."""
    key = Key(Shape.VALUE, default, about, parse, secret=True, required=required, unless=unless)
    return cast("T", key)


def path(about: str, *, reads: str = "") -> FilePath | None:
    """Declare a path, which counts from the folder of the file that names it.

    `reads` says what kind of file must be there.
    """
    parse = values.optional(values.path)
    key = Key(Shape.VALUE, None, about, parse, is_path=True, reads=reads)
    return cast("FilePath | None", key)


def each(parse: Callable[[object], T], example: str, about: str = "") -> tuple[T, ...]:
    """Declare a list of values."""
    return cast("tuple[T, ...]", Key(Shape.LIST, (), about, parse, example=example))


def secrets(parse: Callable[[object], Secret], example: str, about: str) -> tuple[Secret, ...]:
    """Declare a list of secrets; each may come by a file."""
    key = Key(Shape.LIST, (), about, parse, secret=True, example=example)
    return cast("tuple[Secret, ...]", key)


def texts(
    parse: Callable[[object], Mapping[str, str]], default: Mapping[str, str], about: str
) -> Mapping[str, str]:
    """Declare a mapping of free names to text."""
    return cast("Mapping[str, str]", Key(Shape.TEXTS, default, about, parse))


def section(kind: type[S]) -> S:
    """Declare a section within a section."""
    return cast("S", Key(Shape.SECTION, kind(), section=kind))


def sections(kind: type[S], example: str, about: str) -> tuple[S, ...]:
    """Declare a list of sections."""
    return cast("tuple[S, ...]", Key(Shape.SECTIONS, (), about, section=kind, example=example))


def named(
    kind: type[S], parse_name: Callable[[object], str], example: str, about: str
) -> Mapping[str, S]:
    """Declare a mapping of free names to sections."""
    key = Key(Shape.NAMED, {}, about, parse_name, kind, example=example)
    return cast("Mapping[str, S]", key)


@dataclass_transform(
    frozen_default=True,
    kw_only_default=True,
    field_specifiers=(
        value, required, fixed, secret, path, each, secrets, texts, section, sections, named,
    ),
)  # fmt: skip
class Section:
    """A frozen value with declared fields, made from keyword arguments.

    It behaves as a frozen dataclass does; compiling one for each section would double the time that
    importing this package adds to every command.
    """

    _fields: ClassVar[Mapping[str, Key]] = {}

    def __init_subclass__(cls) -> None:
        """Collect the declared fields, and leave their defaults in their places."""
        own = {name: key for name, key in vars(cls).items() if isinstance(key, Key)}
        cls._fields = {**cls._fields, **own}
        for name, key in own.items():
            setattr(cls, name, key.default)

    def __init__(self, **given: object) -> None:
        if unknown := given.keys() - self._fields.keys():
            raise TypeError(f"{type(self).__name__} has no {', '.join(sorted(unknown))}")
        self.__dict__.update(given)

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse: several parts of the program share the configuration."""
        raise AttributeError(f"{type(self).__name__}.{name} cannot be changed")

    def __eq__(self, other: object) -> bool:
        """Compare all fields; a secret is never compared with the lack of one."""
        if type(self) is not type(other):
            return NotImplemented
        return all(same(getattr(self, name), getattr(other, name)) for name in self._fields)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        inner = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._fields)
        return f"{type(self).__name__}({inner})"


def same(one: Any, other: Any) -> bool:
    """Tell whether two values of a key are equal; a Secret compares with a Secret only."""
    return type(one) is type(other) and bool(one == other)


def keys(kind: type[Section]) -> Mapping[str, Key]:
    """Return the keys of a section by name, in their order."""
    return {name: key for name, key in kind._fields.items() if key.shape is not Shape.FIXED}
