# syntax=docker/dockerfile:1
# The picker, its body-based router and its simulated model servers: one program, `epp`.
#
#   docker build -t localhost/epp:0.1.0 .
#   docker run --rm localhost/epp:0.1.0 --help
ARG PYTHON=3.11

FROM docker.io/library/python:${PYTHON}-slim AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /app
RUN python -m venv /opt/epp && python -m venv /opt/compiler
COPY pyproject.toml constraints.txt README.md ./
COPY epp/__init__.py epp/compiled.py epp/
# Changes of the code do not install everything again.
RUN /opt/epp/bin/pip install --constraint constraints.txt --editable '.[kubernetes,tracing]' \
    && /opt/compiler/bin/pip install --constraint constraints.txt --editable '.[kubernetes,tracing]' \
       mypy setuptools types-grpcio types-protobuf types-PyYAML
COPY epp epp
COPY scripts/compile.py scripts/extensions.py scripts/native_constructors.py \
     scripts/training_run.py scripts/
RUN /opt/compiler/bin/python scripts/compile.py --required \
    && /opt/epp/bin/python -m compileall -q epp build /opt/epp/lib \
    && rm -rf scripts \
    && EPP_COMPILED=always /opt/epp/bin/epp --version

FROM docker.io/library/python:${PYTHON}-slim
LABEL org.opencontainers.image.title=epp \
      org.opencontainers.image.description="An endpoint picker for inference gateways"
COPY --from=build /opt/epp /opt/epp
COPY --from=build /app /app
ENV EPP_COMPILED=always PATH=/opt/epp/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 65532:65532
WORKDIR /
EXPOSE 9002 9003 9090
# The arguments are those of the Go picker.
ENTRYPOINT ["/opt/epp/bin/epp"]
