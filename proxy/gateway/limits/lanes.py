"""Which limits a request falls under: the file's rules first, then what is known of the operation.

A rule of the file is one limit for all that matches it. "N at once * **" stands for the number of
all together; any other rule "at once" comes on top of that number.
"""

from collections.abc import Collection, Sequence

from proxy.config import LimitRule
from proxy.gateway.guards.rules import RuleSet
from proxy.gateway.limits.row import Lane
from proxy.gateway.limits.window import AtOnce, Window
from proxy.smartrecruiters.limits import AT_ONCE_TOGETHER, limits_of

EVERYTHING = ("*",), "**"


class Rules:
    """The rules of the file, made ready to be matched."""

    def __init__(self, rules: Sequence[LimitRule]) -> None:
        self.together = AT_ONCE_TOGETHER
        self.sets_together = False
        self._per_second: list[tuple[RuleSet, str, int]] = []
        self._at_once: list[tuple[RuleSet, str, int]] = []
        for rule in rules:
            if rule.per == "at_once" and (rule.methods, rule.path.lstrip("/")) == EVERYTHING:
                if not self.sets_together:
                    self.together, self.sets_together = rule.count, True
                continue
            name = f"{','.join(rule.methods)} {rule.path}"
            kind = self._per_second if rule.per == "second" else self._at_once
            kind.append((RuleSet([name]), name, rule.count))

    def per_second(self, method: bytes, path: bytes) -> tuple[str, int] | None:
        """Return name and number of the first rule a second that fits."""
        return self._first(self._per_second, method, path) if self._per_second else None

    def at_once(self, method: bytes, path: bytes) -> tuple[str, int] | None:
        """Return name and number of the first rule at once that fits."""
        return self._first(self._at_once, method, path) if self._at_once else None

    @staticmethod
    def _first(
        rules: list[tuple[RuleSet, str, int]], method: bytes, path: bytes
    ) -> tuple[str, int] | None:
        for rule, name, number in rules:
            if rule.admits(method, path):
                return name, number
        return None


class Lanes:
    """One account's lanes, each made when first asked for; as many as operations and rules."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._lanes: dict[tuple[str, str], Lane] = {}
        self._windows: dict[str, Window] = {}
        self._at_once: dict[str, AtOnce] = {}

    def of(self, operation: str, method: bytes, path: bytes) -> Lane:
        """Return the lane of a request, by the name of its operation, method and path."""
        per_second = self._rules.per_second(method, path)
        at_once = self._rules.at_once(method, path)
        # Prefix configured rules so that their names cannot equal an operation's.
        window_name = f"/s {per_second[0]}" if per_second else operation
        at_once_name = f"at once {at_once[0]}" if at_once else operation
        lane = self._lanes.get((window_name, at_once_name))
        if lane is None:
            lane = self._lanes[window_name, at_once_name] = Lane(
                operation,
                self._window(window_name, operation, per_second),
                self._number(at_once_name, operation, at_once),
            )
        return lane

    def all(self) -> Collection[Lane]:
        """Return those that were made."""
        return self._lanes.values()

    def _window(self, name: str, operation: str, rule: tuple[str, int] | None) -> Window:
        window = self._windows.get(name)
        if window is None:
            limit = rule[1] if rule else limits_of(operation).per_second
            window = self._windows[name] = Window(name, limit, corrects=rule is None)
        return window

    def _number(self, name: str, operation: str, rule: tuple[str, int] | None) -> AtOnce | None:
        limit = rule[1] if rule else limits_of(operation).at_once
        if limit is None:
            return None
        number = self._at_once.get(name)
        if number is None:
            number = self._at_once[name] = AtOnce(name, limit, corrects=False)
        return number
