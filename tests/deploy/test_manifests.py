"""What stands in deploy/ is valid by its own field's judges, and true to the program."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from proxy import __version__
from proxy.config import Config
from tests.support.programs import program

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
KUBERNETES = sorted(DEPLOY.glob("kubernetes-*.yaml"))
UNIT = DEPLOY / "systemd/smartrecruiters-proxy.service"


def run(*command: str) -> str:
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


def resources(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


def pod_spec(path: Path) -> dict[str, Any]:
    spec: dict[str, Any]
    (spec,) = (
        r["spec"]["template"]["spec"] for r in resources(path) if "template" in r.get("spec", {})
    )
    return spec


def proxy_container(path: Path) -> dict[str, Any]:
    spec = pod_spec(path)
    everything = spec.get("initContainers", []) + spec["containers"]
    container: dict[str, Any]
    (container,) = (c for c in everything if c["name"] == "smartrecruiters-proxy")
    return container


def stand_in(key: str, file: str) -> str:
    return "redis://redis:6379/0" if key == "url_file" else f"what-lies-in-the-file-{file}"


def with_secrets(node: Any) -> Any:
    """Put a value where the file of a secret is named, which exists only on a real machine."""
    if isinstance(node, dict):
        return {
            key.removesuffix("_file"): stand_in(key, value) if key.endswith("_file") else value
            for key, value in ((key, with_secrets(value)) for key, value in node.items())
        }
    if isinstance(node, list):
        return [with_secrets(item) for item in node]
    return node


def embedded_configurations() -> Iterator[tuple[str, str]]:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    yield "compose", compose["configs"]["proxy"]["content"]
    for path in KUBERNETES:
        for resource in resources(path):
            if resource["kind"] == "ConfigMap":
                yield path.stem, resource["data"]["config.yaml"]


CONFIGURATIONS = dict(embedded_configurations())


def config(name: str) -> Config:
    return Config.build(with_secrets(yaml.safe_load(CONFIGURATIONS[name])))


def test_the_compose_file_is_valid():
    run(
        program("check-jsonschema"),
        "--builtin-schema",
        "vendor.compose-spec",
        str(DEPLOY / "compose.yaml"),
    )


@pytest.mark.parametrize("version", ["1.29", "1.33", "1.37"])
@pytest.mark.parametrize("path", KUBERNETES, ids=lambda p: p.stem)
def test_the_kubernetes_manifests_are_valid(path, version):
    """1.29 is the first with native sidecars."""
    run(program("kubernetes-validate"), "--strict", "-k", version, str(path))


def test_the_dockerfile_has_no_lint():
    run(program("hadolint"), str(ROOT / "Dockerfile"))


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_the_embedded_configurations_are_valid(name):
    assert config(name).oauth.client_id == "your-client-id"


@pytest.mark.parametrize("path", KUBERNETES, ids=lambda p: p.stem)
def test_the_grace_period_fits_the_shutdown(path):
    settings = config(path.stem)
    needed = settings.shutdown.delay + settings.shutdown.drain_timeout + settings.oauth.timeout

    assert pod_spec(path)["terminationGracePeriodSeconds"] > needed


@pytest.mark.parametrize("path", KUBERNETES, ids=lambda p: p.stem)
def test_the_kubelet_asks_the_listener_of_its_own(path):
    """Its probes come from outside the pod's loopback."""
    container = proxy_container(path)
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    probes = config(path.stem).listen.probes
    asked = {name: value["httpGet"] for name, value in container.items() if name.endswith("Probe")}

    assert (probes.host, probes.port) == ("0.0.0.0", ports["probes"])
    assert {get["port"] for get in asked.values()} == {"probes"}
    assert asked["livenessProbe"]["path"] == "/-/live"
    assert asked["readinessProbe"]["path"] == "/-/ready"


@pytest.mark.parametrize("path", KUBERNETES, ids=lambda p: p.stem)
def test_each_file_that_the_configuration_names_is_mounted(path):
    """What is commented out for https included."""
    mounts = [mount["mountPath"] for mount in proxy_container(path)["volumeMounts"]]
    named = re.findall(r"_file: ([^\s,}]+)", path.read_text())

    assert named
    assert all(Path(name).parent in map(Path, mounts) for name in named)


def test_the_gateway_speaks_https_once_the_comment_is_taken_out():
    text = CONFIGURATIONS["kubernetes-gateway"].replace("#tls:", "tls:")
    tree = with_secrets(yaml.safe_load(text))
    tree["listen"]["tls"] = yaml.safe_load(text)["listen"]["tls"]

    assert str(Config.build(tree).listen.tls.cert_file) == "/run/secrets/tls/tls.crt"


def test_a_caller_s_key_of_the_gateway_cannot_log_everyone_out():
    keys = {key.name: key.admin for key in config("kubernetes-gateway").access.api_keys}

    assert keys == {"app": False, "admin": True}


def test_the_sidecar_starts_before_the_app_and_is_reached_by_it_alone():
    path = DEPLOY / "kubernetes-sidecar.yaml"

    assert [c["name"] for c in pod_spec(path)["initContainers"]] == ["smartrecruiters-proxy"]
    assert proxy_container(path)["restartPolicy"] == "Always"
    assert config("kubernetes-sidecar").listen.host == "localhost"


@pytest.mark.parametrize("path", KUBERNETES, ids=lambda p: p.stem)
def test_the_container_may_do_nothing_but_serve(path):
    assert proxy_container(path)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
    }


@pytest.mark.parametrize("path", [DEPLOY / "compose.yaml", *KUBERNETES], ids=lambda p: p.stem)
def test_the_image_is_of_this_version(path):
    assert set(re.findall(r"image: smartrecruiters-proxy:(\S+)", path.read_text())) == {__version__}


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with a program that exists, which systemd-analyze looks for."""
    copy = tmp_path / UNIT.name
    copy.write_text(re.sub(r"ExecStart=\S+", f"ExecStart={sys.executable}", UNIT.read_text()))
    return copy


def test_the_systemd_unit_is_valid(unit):
    assert run(program("systemd-analyze"), "verify", str(unit)) == ""


def test_the_systemd_unit_is_hardened(unit):
    """Exposure under 2 of 10; the threshold is in tenths."""
    run(program("systemd-analyze"), "security", "--offline=yes", "--threshold=20", str(unit))


def test_the_systemd_unit_waits_for_what_the_shutdown_takes():
    settings = Config.build({"oauth": {"client_id": "id", "client_secret": "secret"}})
    wait = re.search(r"^TimeoutStopSec=(\d+)$", UNIT.read_text(), re.MULTILINE)

    assert wait
    assert int(wait[1]) > (
        settings.shutdown.delay + settings.shutdown.drain_timeout + settings.oauth.timeout
    )
