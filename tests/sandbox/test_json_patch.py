"""The operations of RFC 6902, the examples of its appendix A among them."""

from typing import Any

import pytest

from proxy.sandbox.json_patch import PatchError, apply_patch


@pytest.mark.parametrize(
    ("document", "operations", "expected"),
    [
        ({"a": 1}, [{"op": "add", "path": "/b", "value": 2}], {"a": 1, "b": 2}),
        ({"a": ["x", "z"]}, [{"op": "add", "path": "/a/1", "value": "y"}], {"a": ["x", "y", "z"]}),
        ({"a": ["x"]}, [{"op": "add", "path": "/a/-", "value": ["y"]}], {"a": ["x", ["y"]]}),
        ({"a": 1, "b": 2}, [{"op": "remove", "path": "/b"}], {"a": 1}),
        ({"a": ["x", "y"]}, [{"op": "remove", "path": "/a/0"}], {"a": ["y"]}),
        ({"a": 1}, [{"op": "replace", "path": "/a", "value": None}], {"a": None}),
        (
            {"a": {"b": 1}, "c": {}},
            [{"op": "move", "from": "/a/b", "path": "/c/d"}],
            {"a": {}, "c": {"d": 1}},
        ),
        ({"a": [1]}, [{"op": "copy", "from": "/a", "path": "/b"}], {"a": [1], "b": [1]}),
        (
            {"a": 1},
            [{"op": "test", "path": "/a", "value": 1}, {"op": "remove", "path": "/a"}],
            {},
        ),
        ({"a/b": {"m~n": 1}}, [{"op": "remove", "path": "/a~1b/m~0n"}], {"a/b": {}}),
    ],
)
def test_operations_apply(
    document: dict[str, Any], operations: Any, expected: dict[str, Any]
) -> None:
    assert apply_patch(document, operations) == expected


@pytest.mark.parametrize(
    "operations",
    [
        {},
        ["remove"],
        [{"op": "remove", "path": "/none"}],
        [{"op": "replace", "path": "/none", "value": 1}],
        [{"op": "remove", "path": "a"}],
        [{"op": "add", "path": "/b"}],
        [{"op": "add", "path": "/a/b", "value": 1}],
        [{"op": "add", "path": "/list/x", "value": 1}],
        [{"op": "test", "path": "/a", "value": 2}],
        [{"op": "sing", "path": "/a"}],
    ],
)
def test_what_does_not_apply_changes_nothing(operations: Any) -> None:
    document = {"a": 1, "list": []}

    with pytest.raises(PatchError):
        apply_patch(document, operations)
    assert document == {"a": 1, "list": []}
