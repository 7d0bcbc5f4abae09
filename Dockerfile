# The image: a virtual environment with the exact files of requirements.hashes.lock on a slim Python, run by a numeric user
# that owns nothing but the state volume. Works with a read-only root file system and without capabilities.
# docs/deployment.md has the lines to run it with; tests/deploy/verify_image.sh builds and tries it.

# A tag moves. To pin what you looked at: --build-arg BASE=python:3.13-slim@sha256:…
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
WORKDIR /src
# The wheel is compiled, and a slim base has no compiler. It comes as Debian has it, unpinned, and stays in this stage.
# hadolint ignore=DL3008
RUN command -v gcc || { apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*; }
RUN python -m venv --without-pip /opt/srproxy && python -m venv /opt/build
COPY requirements.hashes.lock requirements-build.lock ./
RUN python -m pip --python /opt/srproxy/bin/python install --no-cache-dir --no-compile --require-hashes -r requirements.hashes.lock \
    && /opt/build/bin/python -m pip install --no-cache-dir --require-hashes -r requirements-build.lock
COPY pyproject.toml README.md LICENSE ./
COPY deploy/build_hook.py deploy/
COPY proxy proxy
# Nothing unlocked comes in: the wheel is built and compiled by what is locked (SRPROXY_PURE=0: or not at all), and installed
# without asking an index.
# What only a compiler or a type checker reads stays behind. Bytecode stays, since nothing can be written at run time; it
# goes by the source's hash and not by its date, so that two builds are the same.
RUN SRPROXY_PURE=0 /opt/build/bin/python -m pip wheel --no-deps --no-build-isolation --no-index -w /opt/wheel . \
    && python -m pip --python /opt/srproxy/bin/python install --no-cache-dir --no-compile --no-deps --no-index /opt/wheel/*.whl \
    && find /opt/srproxy \( -name '*.pyx' -o -name '*.pxd' -o -name '*.pxi' -o -name '*.pyi' -o -name '*.c' -o -name '*.h' -o -name '__pycache__' \) -prune -exec rm -r {} + \
    && PYTHONHASHSEED=0 /opt/srproxy/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/srproxy/lib \
    && install -D -m 0644 proxy/system/healthcheck.py /opt/srproxy/healthcheck.py \
    && install -d -m 0700 -o 65532 -g 65532 /state

FROM ${BASE}
ARG VERSION=0.2.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="smartrecruiters-proxy" \
      org.opencontainers.image.description="A local authenticating reverse proxy for the SmartRecruiters API" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/srproxy /opt/srproxy
COPY --from=build --chown=65532:65532 /state /var/lib/srproxy
# The user's state folder is the volume: tokens.path needs no setting. A config.yaml mounted into the working directory is found.
ENV PATH=/opt/srproxy/bin:$PATH \
    HOME=/var/lib/srproxy \
    XDG_STATE_HOME=/var/lib/srproxy
WORKDIR /etc/srproxy
VOLUME /var/lib/srproxy
EXPOSE 8080
USER 65532:65532
# Isolated and without site-packages: 22 ms a check. Live, not ready: a missing login is no reason to restart the container.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 \
    CMD ["python", "-I", "-S", "/opt/srproxy/healthcheck.py"]
ENTRYPOINT ["srproxy"]
CMD ["serve"]
