"""What the project's own files promise about each other."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from proxy import __version__
from proxy.config.section import keys
from proxy.errors import KINDS
from tests.support.commands import document
from tests.support.reference import every_setting, table

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
REFERENCE = (ROOT / "docs/configuration.md").read_text()
BEHAVIOUR = (ROOT / "docs/behaviour.md").read_text()
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
LOCKS = ["requirements.lock", "requirements-test.lock"]
HASHED = ["requirements.hashes.lock", "requirements-build.lock"]
# Longer and a module has more than one noun (docs/architecture.md).
LONGEST_MODULE = 400
MODULES = sorted(path for room in ("proxy", "tests") for path in ROOT.glob(f"{room}/**/*.py"))


SETTINGS = dict(every_setting())


def locked(name: str) -> dict[str, str]:
    """The versions that a lock file pins, by canonical name."""
    pins: dict[str, str] = {}
    text = re.sub(r" \\\n {4}--hash=sha256:[0-9a-f]{64}", "", (ROOT / name).read_text())
    for line in text.splitlines():
        if line and not line.startswith("#"):
            requirement = Requirement(line)
            (pin,) = requirement.specifier
            assert pin.operator == "==", line
            pins[canonicalize_name(requirement.name)] = pin.version
    return pins


def example_keys(node: object, path: str = "") -> Iterator[str]:
    if isinstance(node, dict):
        for name, value in node.items():
            yield f"{path}{name}"
            yield from example_keys(value, f"{path}{name}.")


@pytest.mark.parametrize("key", SETTINGS)
def test_every_configuration_key_is_in_the_example_and_the_reference(key):
    assert key in set(example_keys(yaml.safe_load((ROOT / "config.example.yaml").read_text())))
    assert f"| `{key}` |" in REFERENCE


@pytest.mark.parametrize(("key", "default"), [(k, s.default) for k, s in SETTINGS.items()])
def test_the_reference_tells_the_default(key, default):
    row = re.search(rf"^\| `{re.escape(key)}` \| (.*?) \| (.+) \|$", REFERENCE, re.MULTILINE)

    assert row, f"{key} has no row"
    if key in {"oauth.client_id", "oauth.client_secret"}:
        assert row[1] == "required"
    else:
        told = yaml.safe_load(row[1].strip("`"))
        plain = list(default) if isinstance(default, tuple) else default
        assert told == (dict(plain) if isinstance(told, dict) else plain)


def test_the_reference_is_what_the_model_says():
    assert table() in REFERENCE, "python -m tests.support.reference writes it anew"


def test_the_document_of_the_commands_is_their_help():
    text = (ROOT / "docs/commands.md").read_text()

    assert text == document(), "python -m tests.support.commands writes it anew"


def test_the_reference_names_no_key_that_does_not_exist():
    named = re.findall(r"^\| `([a-z_.0-9]+)` \|", REFERENCE, re.MULTILINE)

    assert named == list(SETTINGS)


@pytest.mark.parametrize("key", [key for key, setting in SETTINGS.items() if setting.section])
def test_the_reference_names_each_key_of_the_entries_of(key):
    setting = SETTINGS[key]

    assert setting.section
    for name in keys(setting.section):
        assert re.search(rf"\b{name}", setting.about), name


def test_the_version_is_the_first_heading_of_the_changelog():
    heading = re.search(r"^## \[?([^\]\s]+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)

    assert heading
    assert heading[1] == __version__


def test_the_image_carries_the_version():
    assert f"\nARG VERSION={__version__}\n" in (ROOT / "Dockerfile").read_text()


@pytest.mark.parametrize("code", KINDS)
def test_every_error_code_is_documented(code):
    assert f"`{code}`" in BEHAVIOUR


def numbered_rules() -> dict[str, list[int]]:
    """The numbers of each section's rules in docs/behaviour.md, by the section's short name."""
    rules = {}
    for section in re.split(r"^## ", BEHAVIOUR, flags=re.MULTILINE)[1:]:
        numbers = [int(n) for n in re.findall(r"^(\d+)\. ", section, re.MULTILINE)]
        if numbers:
            rules[section.partition("\n")[0].partition(",")[0]] = numbers
    return rules


RULES = numbered_rules()
SECTIONS = re.findall(r"^## (.+)$", BEHAVIOUR, re.MULTILINE)
RULE = re.compile(rf"\brules? (\d+)(?: and (\d+))?(?: of ({'|'.join(RULES)})\b)?", re.IGNORECASE)


def text_of(path: Path) -> str:
    """A module's text with each run of space, line ends and comment signs as one space."""
    return re.sub(r"[\s#]+", " ", path.read_text())


def test_the_rules_are_numbered_without_a_gap():
    assert list(RULES) == ["Requests", "Answers", "Callers", "SmartRecruiters' limits", "The grant"]
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in RULES.values())


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_rule_that_code_names_is_in_the_document(path):
    text = text_of(path)
    for match in RULE.finditer(text):
        numbers, section = [int(n) for n in match.group(1, 2) if n], match[3]
        assert section, f"{match[0]}: of which section of docs/behaviour.md?"
        assert set(numbers) <= set(RULES[section[0].upper() + section[1:]]), match[0]
    for heading in re.findall(r"docs/behaviour\.md, \"([^\"]+)\"", text):
        assert heading in SECTIONS


@pytest.mark.parametrize("name", LOCKS + HASHED)
def test_a_lock_file_names_no_package_index(name):
    lines = (ROOT / name).read_text().splitlines()
    text = "\n".join(line for line in lines if not line.startswith("#"))

    assert not re.search(r"https?:|file:|index|find-links|trusted-host|^-", text, re.MULTILINE)


def test_a_node_lock_file_names_no_registry():
    for folder in ("bench", "tests"):
        for path in ROOT.glob(f"{folder}/**/package-lock.json"):
            if "node_modules" not in path.parts:
                assert '"resolved": "http' not in path.read_text(), path


@pytest.mark.parametrize(
    ("name", "extras"),
    [("requirements.lock", ["otlp", "redis"]), ("requirements-test.lock", ["test"])],
)
def test_a_lock_file_pins_what_the_project_asks_for(name, extras):
    pins = locked(name)
    wanted = list(PROJECT["dependencies"])
    for extra in extras:
        wanted += PROJECT["optional-dependencies"][extra]
    for requirement in map(Requirement, wanted):
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)])


def test_both_locks_pin_the_same_versions():
    run, test = map(locked, LOCKS)

    assert run.items() <= test.items()


def test_the_hashed_lock_pins_the_same_versions():
    assert locked("requirements.hashes.lock") == locked("requirements.lock")


def test_the_build_lock_pins_what_builds_and_compiles_in_the_versions_of_the_tests():
    hook = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["custom"]
    pins, test = locked("requirements-build.lock"), locked("requirements-test.lock")

    for requirement in map(Requirement, PYPROJECT["build-system"]["requires"] + hook["compiler"]):
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)])
    shared = pins.keys() & test.keys()
    assert "mypy" in shared
    assert {name: pins[name] for name in shared} == {name: test[name] for name in shared}


@pytest.mark.parametrize("name", HASHED)
def test_every_pin_of_a_hashed_lock_has_a_hash(name):
    text = (ROOT / name).read_text()

    assert len(re.findall(r"== *\S+.* \\\n {4}--hash=", text)) == len(locked(name))


def test_the_image_is_built_from_locked_files_alone():
    """Each line that installs takes hashes, or asks no index."""
    steps = re.sub(r"\\\n", "", (ROOT / "Dockerfile").read_text())
    lines = re.findall(r"-m pip [^&\n]*?\b(?:install|wheel)\b[^&\n]*", steps)

    assert len(lines) == 4
    assert all("--require-hashes" in line or "--no-index" in line for line in lines)


@pytest.mark.parametrize("path", sorted(ROOT.glob("proxy/**/*.py")), ids=lambda p: p.name)
def test_no_module_is_too_long(path):
    assert len(path.read_text().splitlines()) <= LONGEST_MODULE, "split it by noun"


@pytest.mark.parametrize("path", sorted(ROOT.glob("proxy/**/*.py")), ids=lambda p: p.name)
def test_no_pattern_depends_on_the_interpreter_s_patch_level(path):
    """CPython before 3.11.5 matches possessive repeats of groups wrongly (its issue 106052)."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("re."):
            for text in (n.value for n in ast.walk(node) if isinstance(n, ast.Constant)):
                if isinstance(text, bytes):
                    text = text.decode("latin-1")
                if isinstance(text, str):
                    assert not has_possessive_repeat(text), text


def has_possessive_repeat(pattern: str) -> bool:
    """Look for `*+`, `++`, `?+` and `}+` outside of character classes, and for atomic groups."""
    outside = re.sub(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", "x", pattern, flags=re.DOTALL)
    return bool(re.search(r"[*+?}]\+|\(\?>", outside))


@pytest.mark.parametrize("pattern", ["(?:a)*+", "[*+]++", "a{2}+", "a?+", "(?>a)"])
def test_a_possessive_repeat_is_found(pattern):
    assert has_possessive_repeat(pattern)


@pytest.mark.parametrize("pattern", ["[*+]+", r"a\*+", r"[]*+]", "(?:a)*b+", "a{2}"])
def test_what_only_looks_like_a_possessive_repeat_is_not(pattern):
    assert not has_possessive_repeat(pattern)


def test_the_readme_is_two_screens():
    assert len(README.split()) <= 900


def test_the_release_workflow_is_one():
    command = ["check-jsonschema", "--builtin-schema", "vendor.github-workflows"]
    program = Path(sys.executable).parent / command[0]
    file = str(ROOT / ".github/workflows/release.yml")
    done = subprocess.run([program, *command[1:], file], capture_output=True, text=True)

    assert done.returncode == 0, done.stdout + done.stderr


def test_each_of_the_two_commands_is_one_line_with_an_environment_of_its_own():
    commands = re.findall(r"^python3 -m venv (\S+) && .*$", README, re.MULTILINE)

    assert commands == [".venv", ".venv-test"]


@pytest.mark.parametrize(
    "document", ["README.md", *sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("docs/*.md"))]
)
def test_every_relative_link_leads_to_a_file(document):
    text = (ROOT / document).read_text()
    for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", text):
        assert (ROOT / document).parent.joinpath(target).exists(), target


def test_the_picture_of_the_architecture_shows_every_room():
    picture = (ROOT / "docs/architecture.md").read_text().split("```")[1]
    rooms = {path.stem for path in (ROOT / "proxy").iterdir() if not path.stem.startswith("__")}
    drawn = {
        name.rstrip("/")
        for name in re.findall(r"^  ([a-z0-9_]+/?)(?:\.py)? ", picture, re.MULTILINE)
    }

    assert drawn - {"__main__"} == rooms
