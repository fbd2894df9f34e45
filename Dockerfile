# One image per service:  docker build --build-arg SERVICE=gateway .
# Without an argument it holds everything, and `evertrain up` runs in it.
FROM python:3.12-slim AS packages
ARG SERVICE=run
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /venv
COPY requirements/${SERVICE}.lock /tmp/requirements.lock
RUN /venv/bin/pip install --require-hashes -r /tmp/requirements.lock
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY shared shared
COPY services services
COPY evertrain evertrain
RUN /venv/bin/pip install --no-deps .

FROM python:3.12-slim
ARG SERVICE=run
# LightGBM's wheel expects the system's OpenMP; the other libraries bring their own.
RUN case "$SERVICE" in trainer|run) \
        apt-get update && apt-get install -y --no-install-recommends libgomp1 \
        && rm -rf /var/lib/apt/lists/* ;; \
    esac
RUN useradd --system --uid 10001 --home-dir /data evertrain \
    && install -d -o evertrain -m 700 /data
COPY --from=packages /venv /venv
# The bytecode was written above, once; a container could not keep what it writes.
ENV PATH=/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    MPLCONFIGDIR=/tmp DATA_DIR=/data
USER evertrain
WORKDIR /data
ENTRYPOINT ["evertrain"]
CMD ["--help"]
