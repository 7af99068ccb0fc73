# Tocsin's one image: every service is the same files and another command. Two targets:
#
#   docker build --target cpu -t tocsin:0.1.0-cpu .     listener, streams, alerts, watch, heartbeat, command line; amd64 and arm64
#   docker build --target gpu -t tocsin:0.1.0-gpu .     stream workers on an NVIDIA GPU; amd64
#
# What is installed is written down with its hashes in deploy/requirements/ (docs/operations.md says how it is renewed).

ARG PYTHON=3.11.13-slim-bookworm

# --- NiiVue, for the page's MPR and 3-D view; vendoring.py checks its SHA-256
FROM node:20.19-bookworm-slim AS page
WORKDIR /page
RUN npm pack --silent @niivue/niivue@0.69.0

# --- what it takes to build: a compiler for the one package without wheels; none of it reaches the image
FROM python:${PYTHON} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
RUN apt-get update \
 && apt-get install -y --no-install-recommends gcc libc6-dev \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY deploy/requirements/ requirements/
RUN python3 -m venv /opt/build \
 && /opt/build/bin/pip install --require-hashes --no-deps -r requirements/build.txt
RUN python3 -m venv --without-pip /opt/tocsin \
 && /opt/build/bin/pip wheel --require-hashes --no-deps --no-build-isolation -w wheels -r requirements/cpu.txt \
 && /opt/build/bin/pip --python /opt/tocsin/bin/python install --no-index --no-deps wheels/*.whl
COPY pyproject.toml README.md LICENSE ./
COPY alerts alerts
COPY dicom_listener dicom_listener
COPY monitoring monitoring
COPY streams streams
COPY tocsin tocsin
COPY triage_models triage_models
COPY --from=page /page/ page/
RUN python3 alerts/web/vendoring.py page/*.tgz
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation -w wheels . \
 && /opt/build/bin/pip --python /opt/tocsin/bin/python install --no-index --no-deps wheels/tocsin-*.whl

# --- the GPU's runtimes take the place of the CPU's
FROM build AS build-gpu
RUN /opt/build/bin/pip --python /opt/tocsin/bin/python uninstall --yes onnxruntime \
 && /opt/build/bin/pip --python /opt/tocsin/bin/python install --require-hashes --no-deps -r requirements/gpu.txt

# --- what runs: Python, our environment, a user without rights, folders for the volumes
FROM python:${PYTHON} AS runtime
RUN groupadd --gid 10001 tocsin \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/tocsin --shell /usr/sbin/nologin tocsin \
 && install -d -o 10001 -g 10001 -m 0700 /var/lib/tocsin /var/lib/tocsin/spool /var/lib/tocsin/models
ENV PATH=/opt/tocsin/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    XDG_CACHE_HOME=/tmp \
    TOCSIN_DATA_DIR=/var/lib/tocsin
WORKDIR /var/lib/tocsin
USER 10001:10001
STOPSIGNAL SIGTERM
CMD ["tocsin", "--help"]

FROM runtime AS gpu
COPY --from=build-gpu /opt/tocsin /opt/tocsin
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility

FROM runtime AS cpu
COPY --from=build /opt/tocsin /opt/tocsin
