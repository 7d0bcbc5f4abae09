#!/usr/bin/env bash
# Runs the recipe of docs/deployment.md ("Server with systemd") in a chroot of a minimal Debian, but for systemctl, then the
# service as the unit would: its user, its environment, its folders, no home. As root, on Debian; needs mmdebstrap.
# What systemd alone can show is left out: the sandboxing of the unit, and its restarts.     usage: verify_systemd.sh WORK_FOLDER
set -euo pipefail
project=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../..")
root=$(realpath -m "$1")/root
step() { printf '== [%3ds] %s\n' "$SECONDS" "$*"; }
fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }

mkdir -p "$1"
step "a minimal Debian"
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
mmdebstrap --quiet --variant=minbase --include=python3,python3-venv,ca-certificates "$suite" "$root"
cp /etc/resolv.conf "$root/etc/"
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
mkdir -p "$root/root/clone"
git -C "$project" ls-files -z --cached --others --exclude-standard | tar -C "$project" --null -T - -c | tar -C "$root/root/clone" -x
printf '#!/bin/sh\nexec "$@"\n' >"$root/usr/local/bin/sudo" && chmod +x "$root/usr/local/bin/sudo"
printf 'a-secret-of-the-app' >"$root/root/secret"
inside() { env -i PATH=/usr/local/bin:/usr/sbin:/usr/bin HOME=/root LC_ALL=C.UTF-8 PIP_CERT=/etc/ssl/certs/ca-certificates.crt PIP_NO_INPUT=1 chroot "$root" "$@"; }

step "the recipe"
recipe=$(awk '/^## /{here = $0 == "## Server with systemd"; block = 0} here && /^```/{block = !block && !done; done = done || block; next} here && block' "$project/docs/deployment.md")
recipe=$(sed -e '/systemctl/d' -e 's|srproxy init .*|& --credential client_credentials --client-id app --client-secret-file /root/secret \|\| true|' \
    -e 's|srproxy check|srproxy check \|\| true|' <<<"$recipe")
grep -q useradd <<<"$recipe" || fail "the recipe is not found in docs/deployment.md"
inside bash -euxc "cd /root/clone; $recipe"

step "the service"
unit=$root/etc/systemd/system/smartrecruiters-proxy.service
start=$(sed -n 's/^ExecStart=//p' "$unit")
environment=$(sed -n 's/^Environment=//p' "$unit")
inside install -d -m 0750 -o smartrecruiters-proxy -g smartrecruiters-proxy /run/smartrecruiters-proxy
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
env -i PATH=/usr/sbin:/usr/bin "$environment" SRPROXY_LISTEN__PORT="$port" SRPROXY_LISTEN__UNIX_SOCKET=/run/smartrecruiters-proxy/socket \
    chroot --userspec=smartrecruiters-proxy:smartrecruiters-proxy "$root" $start 2>"$root/log" &
service=$!
trap 'kill $service 2>/dev/null || true' EXIT
for _ in $(seq 100); do curl -fs "http://localhost:$port/-/live" >/dev/null && break; sleep 0.1; done
curl -fs "http://localhost:$port/-/live" >/dev/null || { cat "$root/log" >&2; fail "the service is not live"; }
curl -fs --unix-socket "$root/run/smartrecruiters-proxy/socket" http://localhost/-/live >/dev/null || fail "the Unix socket"

step "commands beside it"
sed -i "s|env -C /|& SRPROXY_LISTEN__PORT=$port|" "$root/usr/local/bin/srproxy"
inside srproxy status | tee "$root/status" || true
grep -q "running at" "$root/status" || fail "status does not see the service"

step "SIGTERM: exit 0"
kill "$service"
wait "$service" || fail "exit code $?"
step "done"
