# The image: a virtual environment with the exact versions of requirements.lock on a slim Python, run by a numeric user
# that owns nothing but the state volume. Works with a read-only root file system and without capabilities.
# docs/deployment.md has the lines to run it with; tests/deploy/verify_image.sh builds and tries it.

FROM python:3.13-slim AS build
WORKDIR /src
RUN python -m venv --without-pip /opt/srproxy
COPY requirements.lock ./
RUN python -m pip --python /opt/srproxy/bin/python install --no-cache-dir -r requirements.lock
COPY pyproject.toml README.md ./
COPY proxy proxy
# What only a compiler or a type checker reads stays behind; bytecode stays, since nothing can be written at run time.
RUN python -m pip --python /opt/srproxy/bin/python install --no-cache-dir --no-deps . \
    && find /opt/srproxy \( -name '*.pyx' -o -name '*.pxd' -o -name '*.pxi' -o -name '*.pyi' -o -name '*.c' -o -name '*.h' \) -delete \
    && install -D -m 0644 proxy/system/healthcheck.py /opt/srproxy/healthcheck.py \
    && install -d -m 0700 -o 65532 -g 65532 /state

FROM python:3.13-slim
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
    CMD ["python", "-I", "-S", "/opt/srproxy/system/healthcheck.py"]
ENTRYPOINT ["srproxy"]
CMD ["serve"]
