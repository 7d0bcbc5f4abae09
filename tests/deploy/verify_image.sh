#!/usr/bin/env bash
# Builds the Dockerfile and tries the image, without a Docker daemon or an image registry: as root, on Debian.
# The base image is a stand-in of the same name, made from Debian's packages (and PYTHON_PREFIX, if set: an interpreter's folder);
# so is the compiler, which its apt-get installs from a folder.
# Needs mmdebstrap, buildah, podman, runc.     usage: verify_image.sh WORK_FOLDER [twice]
# With `twice` it is built once more from nothing, which has to make the same layers: two minutes more.
set -euo pipefail
project=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../..")
work=$(realpath -m "$1")
image=localhost/smartrecruiters-proxy:verify
base=docker.io/library/python:3.13-slim
mkdir -p "$work"
cd "$work"

storage=(--storage-driver overlay --root "$work/graph" --runroot "$work/run")
build=(buildah "${storage[@]}" bud --isolation chroot --pull-never --format docker --layers -q -v "$work/compiler:/compiler:ro")
podman() { command podman --runtime runc "${storage[@]}" --cgroup-manager cgroupfs --events-backend file "$@" 2>>"$work/podman.log"; }
# No health timer, since there is no systemd: the check is run by hand. Both limits must be given where the host's are lower than podman's defaults.
limits=(--ulimit nofile=1024:1024 --ulimit nproc=1024:1024 --health-interval=disable)
locked_down=(--read-only --cap-drop ALL --security-opt no-new-privileges --tmpfs /tmp)

step() { printf '== [%3ds] %s\n' "$SECONDS" "$*"; }
fail() { printf 'FAILED: %s\n' "$*" >&2; podman logs proxy >&2 || true; exit 1; }
clean() { podman rm -f -t 0 proxy >/dev/null || true; podman rm -f -t 0 upstream >/dev/null || true; podman volume rm -f state >/dev/null || true; }
trap clean EXIT
# In the network of the running containers, as a program beside the proxy would be; prints the status, then the body.
beside() {
    podman run --rm -i "${limits[@]}" --network container:upstream --entrypoint python "$image" -c '
import sys, urllib.request as request, urllib.error
try:
    answer = request.urlopen(sys.argv[1], timeout=20)
except urllib.error.HTTPError as error:
    answer = error
print(answer.status, answer.read().decode())' "$@"
}
healthy() { for _ in $(seq 100); do podman healthcheck run "$1" >/dev/null && return; sleep 0.1; done; fail "$1 is not healthy"; }

step "base image: a stand-in for $base"
# Unpacked, not installed: no package's scripts run, which would take half a minute.
unpacked() {
    [ -e "$2" ] || mmdebstrap --quiet --variant=extract --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr --include="$1" \
        "$(. /etc/os-release && echo "$VERSION_CODENAME")" "$2"
}
unpacked base-files,coreutils,dash,findutils,libc-bin,python3,python3-venv rootfs.tar
unpacked gcc,libc6-dev,python3-dev compiler
rm -rf base && mkdir -p base/python
cp rootfs.tar base/
cp /etc/ssl/certs/ca-certificates.crt base/
if [ -n "${PYTHON_PREFIX:-}" ]; then
    cp -a "$PYTHON_PREFIX"/{bin,include,lib} base/python/
    rm -rf base/python/lib/python3.*/{test,idlelib,tkinter}
    find base/python/lib/python3.*/site-packages -mindepth 1 -maxdepth 1 ! -name 'pip*' -exec rm -rf {} +
fi
cat >base/Dockerfile <<'D'
FROM scratch
ADD rootfs.tar /
COPY python/ /usr/local/
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin PIP_BREAK_SYSTEM_PACKAGES=1 PIP_CERT=/etc/ssl/certs/ca-certificates.crt SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
RUN printf '#!/bin/sh\n[ "$1" = update ] || cp -a /compiler/usr/. /usr/\n' >/usr/bin/apt-get && chmod +x /usr/bin/apt-get
RUN ldconfig && { [ -e /usr/local/bin/python ] || { mkdir -p /usr/local/bin && ln -s /usr/bin/python3 /usr/local/bin/python \
    && python -m zipfile -e /usr/share/python-wheels/pip-*.whl /usr/lib/python3/dist-packages; }; }
D
"${build[@]}" -t "$base" base >/dev/null

step "build the image"
# Dates of files are set to one instant (with BuildKit: SOURCE_DATE_EPOCH and rewrite-timestamp=true).
build_image() { "${build[@]}" --timestamp 0 "$@" "$project" >/dev/null; }
layers() { podman inspect "$1" --format '{{.RootFS.Layers}}'; }
build_image -t "$image"

if [ "${2:-}" = twice ]; then
    step "build it again, from nothing: the same layers"
    build_image --no-cache -t "$image-again"
    [ "$(layers "$image")" = "$(layers "$image-again")" ] || fail "two builds differ: $(layers "$image") and $(layers "$image-again")"
fi

step "the data path is compiled, and what compiles it stayed behind"
podman run --rm "${limits[@]}" --network none "$image" --version -v | grep -q '^build: compiled,' || fail "the image's data path is not compiled"
left=$(podman run --rm "${limits[@]}" --network none --entrypoint sh "$image" -c 'command -v gcc cc
    find /opt/srproxy -name "*.[cho]" -o -name "*mypyc*" ! -name "proxy__mypyc.*.so" -o -path "*/site-packages/mypy*" -o -path "*/site-packages/setuptools*"' || true)
[ -z "$left" ] || fail "left in the image: $left"

step "an embedded SmartRecruiters in a container of its own"
clean
podman run -d --name upstream "${limits[@]}" --network none "${locked_down[@]}" --entrypoint python "$image" -c '
import asyncio
from proxy.sandbox import Sandbox, SandboxSettings
async def main():
    await Sandbox(SandboxSettings(auto_approve=True)).start("127.0.0.1", 8081)
    await asyncio.Event().wait()
asyncio.run(main())' >/dev/null

step "the proxy beside it: read-only root, no capabilities, uid 65532, settings by environment, a volume for the state"
start_proxy() {
    podman run -d --name proxy "${limits[@]}" --network container:upstream "${locked_down[@]}" -v state:/var/lib/srproxy \
        -e SRPROXY_OAUTH__CLIENT_ID=sandbox-client -e SRPROXY_OAUTH__CLIENT_SECRET=sandbox-secret \
        -e SRPROXY_OAUTH__AUTHORIZATION_ENDPOINT=http://localhost:8081/identity/oauth/allow \
        -e SRPROXY_OAUTH__TOKEN_ENDPOINT=http://localhost:8081/identity/oauth/token \
        -e SRPROXY_UPSTREAM__URL=http://localhost:8081 "$image" >/dev/null
    healthy proxy
}
start_proxy
[ "$(podman exec proxy id -u)" = 65532 ] || fail "not the numeric user"
beside http://127.0.0.1:8080/users/me | grep -q '^503 .*login_required' || fail "not closed before the login"

step "log in as a browser beside it would: redirects, cookies, consent, callback"
podman run --rm "${limits[@]}" --network container:upstream --entrypoint python "$image" -c '
import urllib.request as request
print(request.build_opener(request.HTTPCookieProcessor()).open("http://localhost:8080/-/login", timeout=20).status)' | grep -qx 200 || fail "the login did not succeed"
beside http://127.0.0.1:8080/-/ready | grep -q '^200 ' || fail "not ready after the login"
beside http://127.0.0.1:8080/users/me | grep -q '^200 .*"id"' || fail "a program beside it is not served"

step "SIGTERM to process 1: exit 0"
podman stop -t 30 proxy >/dev/null
[ "$(podman inspect proxy --format '{{.State.ExitCode}}')" = 0 ] || fail "exit code after SIGTERM"

step "a new container on the same volume needs no login"
podman rm -f proxy >/dev/null
start_proxy
beside http://127.0.0.1:8080/users/me | grep -q '^200 ' || fail "the grant did not survive"

step "as in Kubernetes: configuration and secret in folders; SIGHUP to process 1 takes up a changed file"
podman rm -f -t 5 proxy >/dev/null
mkdir -p config secret
printf sandbox-secret >secret/client-secret
configure() { printf 'oauth: {client_id: sandbox-client, client_secret_file: /run/secrets/srproxy/client-secret}\naccess: {allow: ["%s"]}\n' "$1" >config/config.yaml; }
configure 'GET /users/me'
podman run -d --name proxy "${limits[@]}" --network container:upstream "${locked_down[@]}" -v state:/var/lib/srproxy \
    -v "$work/config:/etc/srproxy:ro" -v "$work/secret:/run/secrets/srproxy:ro" \
    -e SRPROXY_OAUTH__AUTHORIZATION_ENDPOINT=http://localhost:8081/identity/oauth/allow \
    -e SRPROXY_OAUTH__TOKEN_ENDPOINT=http://localhost:8081/identity/oauth/token \
    -e SRPROXY_UPSTREAM__URL=http://localhost:8081 "$image" >/dev/null
healthy proxy
beside http://127.0.0.1:8080/jobs | grep -q '^403 .*not_allowed' || fail "the rule of the mounted file does not hold"
configure 'GET **'
podman kill -s HUP proxy >/dev/null
for _ in $(seq 20); do reloaded=$(beside http://127.0.0.1:8080/jobs) && [[ $reloaded == 200* ]] && break; sleep 0.2; done
[[ $reloaded == 200* ]] || fail "the changed file was not taken up: $reloaded"

step "sizes"
beside_base=$(buildah "${storage[@]}" images --format '{{.Size}}' "$base")
printf '%s on a base of %s; of which ours: %s\n' "$(buildah "${storage[@]}" images --format '{{.Size}}' "$image")" "$beside_base" \
    "$(podman run --rm "${limits[@]}" --network none --entrypoint du "$image" -sh /opt/srproxy | cut -f1)"
step "done"
