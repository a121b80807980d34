# syntax=docker/dockerfile:1
# Four images for the tasks of the pipeline, one per target:
#   cpu     every process but the report and inference on a GPU (the last target, so the one without --target)
#   gpu     inference on a GPU: ONNX Runtime with CUDA from NVIDIA's wheels; the driver comes from the machine
#   report  the report: MultiQC, which brings more than all the other packages together
#   model   preparation of SavedModels: TensorFlow and its converter
# No ENTRYPOINT: some executors keep it for one kind of task and drop it for another. Nextflow needs bash, procps and
# coreutils inside. docs/google.md says how they are built and tried, with and without Docker.
ARG BASE=debian:trixie-slim

FROM ${BASE} AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates g++ make python3 python3-dev python3-venv \
    && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /opt/cellbatch
ENV PATH=/opt/cellbatch/bin:${PATH} PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
# The dependencies change less often than the code, so they come first and stay in the layer cache.
COPY requirements/tasks.txt requirements/
RUN pip install --require-hashes -r requirements/tasks.txt

FROM build AS build-gpu
COPY requirements/gpu.txt requirements/
# one package for both would be two of the same name: the one for GPUs takes the place of the other
RUN pip uninstall --yes onnxruntime && pip install --no-deps --require-hashes -r requirements/gpu.txt
COPY setup.py pyproject.toml README.md LICENSE ./
COPY src src
COPY assets/models assets/models
RUN pip install --no-deps --no-build-isolation . && pip uninstall --yes pip

FROM build AS build-report
COPY requirements/base.txt requirements/
# the browser that draws MultiQC's static plots is not used: the report's plots are interactive
RUN pip install --require-hashes -r requirements/base.txt && pip uninstall --yes kaleido && rm -rf /opt/cellbatch/share/jupyter
COPY setup.py pyproject.toml README.md LICENSE ./
COPY src src
COPY assets/models assets/models
RUN pip install --no-deps --no-build-isolation . && pip uninstall --yes pip

FROM build AS build-model
COPY requirements/model.txt requirements/
RUN pip install --require-hashes -r requirements/model.txt
COPY setup.py pyproject.toml README.md LICENSE ./
COPY src src
COPY assets/models assets/models
RUN pip install --no-deps --no-build-isolation . && pip uninstall --yes pip

FROM build AS build-cpu
COPY setup.py pyproject.toml README.md LICENSE ./
COPY src src
COPY assets/models assets/models
RUN pip install --no-deps --no-build-isolation . && pip uninstall --yes pip

FROM ${BASE} AS runtime
RUN apt-get update \
    && apt-get install --yes --no-install-recommends bash ca-certificates procps python3 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*
# The image runs as any user, who may not write beside the package.
ENV PATH=/opt/cellbatch/bin:${PATH} \
    LANG=C.UTF-8 \
    PYTHONDONTWRITEBYTECODE=1 \
    ORT_DISABLE_TELEMETRY=1
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="cellbatch" \
      org.opencontainers.image.description="DeepCell segmentation at scale" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
CMD ["bash"]

FROM runtime AS gpu
LABEL org.opencontainers.image.title="cellbatch, GPU"
COPY --from=build-gpu /opt/cellbatch /opt/cellbatch
# NVIDIA's container runtime gives the driver's libraries to images that ask for them
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility

FROM runtime AS report
LABEL org.opencontainers.image.title="cellbatch, report"
COPY --from=build-report /opt/cellbatch /opt/cellbatch

FROM runtime AS model
LABEL org.opencontainers.image.title="cellbatch, model preparation"
COPY --from=build-model /opt/cellbatch /opt/cellbatch

FROM runtime AS cpu
COPY --from=build-cpu /opt/cellbatch /opt/cellbatch
