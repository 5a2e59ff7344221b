#!/usr/bin/env bash
# Build all distributions into dist/, check them, and upload a file with the wheels alone, in an environment of its own.
# The uploader has two wheels: a pure one, and one with compiled MD5 for systems like this one, if it has a C compiler.
set -euo pipefail
cd "$(dirname "$0")/.."

plugin=plugins/snakemake-storage-plugin-cavatica
export PATH="$PWD/tools/venv/bin:$PATH"

no() { echo "$1" >&2; exit 1; }
quietly() { local said; said=$("$@" 2>&1) || no "$said"; }
build() { quietly pyproject-build --no-isolation --outdir dist "$1"; }

rm -rf dist
build generated
build "$plugin"
CAVATICA_MD5=hashlib build .
build .
for wheel in dist/cavatica_upload-*-linux_*.whl; do
    [ -e "$wheel" ] || continue
    # An index takes no wheel for "linux": this one is renamed to the oldest systems that have all it needs.
    quietly auditwheel repair --wheel-dir dist "$wheel"
    rm "$wheel"
done
twine check --strict dist/*

listed=$(tar -tzf dist/cavatica_upload-*.tar.gz)
for wanted in openapi.yaml src/cavatica_upload/api/contract.json src/cavatica_mock/http.py \
    src/cavatica_upload/md5/lanes.c README.md LICENSE; do
    grep -q "/$wanted$" <<<"$listed" || no "The sdist lacks $wanted."
done
if grep -E '/(tools/venv|node_modules|\.venv[^/]*|__pycache__)/|\.so$' <<<"$listed" >&2; then
    no "The sdist has files that were made on this machine."
fi
for wheel in dist/*.whl; do
    listed=$(python3 -m zipfile --list "$wheel")
    case $wheel in
        */cavatica_client-*) wanted="cavatica_client/py.typed" ;;
        */cavatica_upload-*) wanted="cavatica_upload/py.typed cavatica_mock/openapi.yaml cavatica_upload/api/contract.json" ;;
        *) wanted="snakemake_storage_plugin_cavatica/__init__.py" ;;
    esac
    for file in $wanted; do
        grep -q "^$file " <<<"$listed" || no "$wheel lacks $file."
    done
    case $wheel in
        *-any.whl) ! grep -q '\.so ' <<<"$listed" || no "$wheel is not pure." ;;
        *) grep -q 'md5/liblanes\.so ' <<<"$listed" || no "$wheel lacks compiled MD5." ;;
    esac
done

clean=$(mktemp -d)
trap 'rm -rf "$clean"' EXIT
"${PYTHON:-python3}" -m venv "$clean/venv"
pip=("$clean/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps)
"${pip[@]}" --require-hashes -r requirements.lock
"${pip[@]}" --no-index --find-links dist cavatica-client cavatica-upload
cp tests/demo.py "$clean/"
(cd "$clean" && env -u PYTHONPATH FILE= PATH="$clean/venv/bin:$PATH" venv/bin/python demo.py)
echo "dist/ has: $(cd dist && ls | tr '\n' ' ')"
