# The operator. Any base with Python 3.11 or newer and its venv module will do: the public slim Python image, or a plain Debian.
ARG BASE=python:3.11-slim
# constraints/operator-mlflow.txt has the client for --mlflow too: some 40 packages, 130 MB.
ARG CONSTRAINTS=constraints/operator.txt

# Two environments: pip and setuptools stay behind in the first, only the second goes into the image.
FROM ${BASE} AS packages
ARG CONSTRAINTS
WORKDIR /src
COPY constraints/ constraints/
RUN python3 -m venv /opt/tools \
 && /opt/tools/bin/pip install --quiet --no-cache-dir --require-hashes -r constraints/build.txt \
 && python3 -m venv --without-pip /opt/venv \
 && /opt/tools/bin/pip --python /opt/venv/bin/python install --quiet --no-cache-dir --no-compile --require-hashes -r ${CONSTRAINTS}
# The root file system is read-only later, so compile now; but not the API client's thousands of model classes, never imported.
RUN /opt/venv/bin/python -m compileall -q -x 'kubernetes/(aio/)?client/(api|models)/[^_]' /opt/venv/lib

# In a folder of its own: a new release of the operator leaves the layer with its packages as it is.
FROM packages AS operator
COPY pyproject.toml README.md LICENSE ./
COPY operator/ operator/
RUN /opt/tools/bin/pip install --quiet --no-deps --no-build-isolation --target=/opt/topgraft . \
 && sed -i '1s|.*|#!/opt/venv/bin/python|' /opt/topgraft/bin/topgraft

FROM ${BASE}
COPY --from=packages /opt/venv /opt/venv
COPY --from=operator /opt/topgraft /opt/topgraft
# USER, because the user id has no entry in /etc/passwd (OpenShift gives another one) and kopf asks for a name.
ENV PATH=/opt/topgraft/bin:/opt/venv/bin:$PATH PYTHONPATH=/opt/topgraft USER=topgraft HOME=/tmp PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
ENTRYPOINT ["topgraft"]
