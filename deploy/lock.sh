#!/usr/bin/env bash
# Resolves pyproject.toml into hash-pinned locks for every platform and Python >= 3.11: requirements.lock (run, dev) for
# machines that develop; requirements-run.lock, the part of it that Touchline runs on; requirements-build.lock, the build
# back end, so that Touchline itself is built from pinned packages alone; requirements-bench.lock, what the benchmarks need
# beside the first. All agree on versions: they are installed into one environment.
set -euo pipefail
cd "$(dirname "$0")/.."
UV="${UV:-}"
if [ -z "$UV" ]; then
  if command -v uv >/dev/null; then UV=uv; else
    tool="$(mktemp -d)"; trap 'rm -rf "$tool"' EXIT
    .venv/bin/python -m venv "$tool" && "$tool/bin/pip" install --quiet uv
    UV="$tool/bin/uv"
  fi
fi
options=(--quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links
  --no-annotate --custom-compile-command "make lock")
"$UV" pip compile "${options[@]}" --extra dev -o requirements.lock pyproject.toml
"$UV" pip compile "${options[@]}" -c requirements.lock -o requirements-run.lock pyproject.toml
.venv/bin/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"])' |
  "$UV" pip compile "${options[@]}" -c requirements.lock -o requirements-build.lock -
.venv/bin/python -c 'import tomllib; [print(item) for item in
  tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["bench"]]' |
  "$UV" pip compile "${options[@]}" -c requirements.lock -o requirements-bench.lock -
