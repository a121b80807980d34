# syntax=docker/dockerfile:1
# One image for every task of the pipeline. No ENTRYPOINT: some executors keep it for one kind of task and drop it for
# another. Nextflow needs bash, procps and coreutils inside.
ARG BASE=debian:trixie-slim

FROM ${BASE} AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ make python3 python3-dev python3-venv \
    && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /opt/cellbatch
ENV PATH=/opt/cellbatch/bin:${PATH} PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
# The dependencies change less often than the code, so they come first and stay in the layer cache.
COPY requirements/base.txt requirements/
RUN pip install --require-hashes -r requirements/base.txt
COPY setup.py pyproject.toml README.md LICENSE ./
COPY src src
RUN pip install --no-deps --no-build-isolation . && python -m compileall -q /opt/cellbatch/lib

FROM ${BASE}
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="cellbatch" \
      org.opencontainers.image.description="DeepCell segmentation at scale" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
RUN apt-get update \
    && apt-get install --yes --no-install-recommends bash ca-certificates procps python3 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/cellbatch /opt/cellbatch
# The image runs as any user, who may not write beside the package.
ENV PATH=/opt/cellbatch/bin:${PATH} \
    LANG=C.UTF-8 \
    PYTHONDONTWRITEBYTECODE=1 \
    ORT_DISABLE_TELEMETRY=1
CMD ["bash"]
