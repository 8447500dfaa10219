# chat-emulator as a container: a virtual environment with the wheel in a slim image, nothing else.
# Runs without root, with a read-only file system (give it a tmpfs at /tmp for large uploads). See docs/install.md.

FROM python:3.13-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1
WORKDIR /src
COPY . .
# Every version is in constraints.txt. Wheels only: there is no compiler here, and none is needed.
RUN pip install --constraint constraints.txt --only-binary :all: hatchling \
 && pip wheel --no-build-isolation --no-deps --wheel-dir /wheel . \
 && python -m venv --without-pip /opt/chat-emulator \
 && pip --python /opt/chat-emulator/bin/python install --constraint constraints.txt --only-binary :all: /wheel/*.whl

FROM python:3.13-slim
LABEL org.opencontainers.image.title="chat-emulator" \
      org.opencontainers.image.description="A stand-in for chat backends, for tests" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /opt/chat-emulator /opt/chat-emulator
# Byte code was made above; at run time nothing is written.
ENV PATH="/opt/chat-emulator/bin:$PATH" \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# A number, so that a cluster can tell that it is not root.
USER 65532:65532
WORKDIR /tmp
EXPOSE 8787
# The page at / lists every backend, and needs no token.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-I", "-c", "import http.client as h; c = h.HTTPConnection('127.0.0.1', 8787, timeout=4); c.request('GET', '/'); raise SystemExit(c.getresponse().status != 200)"]
# What follows the image's name are more options and backends: docker run … chat-emulator dify --seed 7
ENTRYPOINT ["chat-emulator", "serve", "--host", "0.0.0.0"]
