#!/usr/bin/env bash
# Build both distributions into dist/, check them, and upload a file with the wheels alone, in an environment of its own.
set -euo pipefail
cd "$(dirname "$0")/.."

rm -rf dist
for source in generated .; do
    tools/venv/bin/python -m build --no-isolation --outdir dist "$source" >/dev/null
done
tools/venv/bin/twine check --strict dist/*

listed=$(tar -tzf dist/cavatica_upload-*.tar.gz)
for wanted in openapi.yaml src/cavatica_upload/api/contract.json src/cavatica_mock/http.py README.md LICENSE; do
    grep -q "/$wanted$" <<<"$listed" || { echo "The sdist lacks $wanted." >&2; exit 1; }
done
if grep -E '/(tools/venv|node_modules|\.venv|__pycache__)/|\.so$' <<<"$listed" >&2; then
    echo "The sdist has files that were made on this machine." >&2; exit 1
fi

clean=$(mktemp -d)
trap 'rm -rf "$clean"' EXIT
python3 -m venv "$clean/venv"
"$clean/venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
"$clean/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps dist/*.whl
cp tests/demo.py "$clean/"
(cd "$clean" && env -u PYTHONPATH FILE= PATH="$clean/venv/bin:$PATH" venv/bin/python demo.py)
echo "dist/ has: $(cd dist && ls | tr '\n' ' ')"
