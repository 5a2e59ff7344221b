#!/usr/bin/env bash
# Tag a release if the document, the changelogs, the tests and the distributions are ready: release.sh VERSION
# Nothing is pushed.
set -euo pipefail
cd "$(dirname "$0")/.."

no() { echo "No release: $1" >&2; exit 1; }

# A changelog has an entry of a version, with its date: dated FILE VERSION WHAT_TO_DO_IF_NOT
dated() {
    local entry
    entry=$(grep -E "^## ${2//./\\.}( |\$)" "$1" | head -1) || true
    [ -n "$entry" ] || no "$1 has no entry for $2: $3"
    [[ $entry =~ [0-9]{4}-[0-9]{2}-[0-9]{2} ]] && \
        python3 -c 'import datetime as dt, sys; dt.date.fromisoformat(sys.argv[1])' "${BASH_REMATCH[0]}" 2>/dev/null || \
        no "$1 says \"$entry\": give it the date of the release, as in ## $2 (2026-11-30)"
}

version=${1:-}
contract=$(sed -n "s/^  version: [\"']\{0,1\}\([0-9.]*\).*/\1/p" openapi.yaml | head -1)
[[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]] || no "name the version: make release VERSION=0.2.0"
changed=$(git status --porcelain) || no "git cannot read this folder; see above."
[ -z "$changed" ] || no "there are changes that are not committed: git status"
grep -q "^version = \"$version\"$" pyproject.toml || no "pyproject.toml has another version than $version: set it there."
dated CHANGELOG.md "$version" "write one."
dated CHANGELOG-contract.md "$contract" "make spec-changelog"
[ -z "$(git tag --list "v$version")" ] || no "the tag v$version is there already."

${MAKE:-make} spec-lint spec-diff check-generated || no "the document or its version is not ready; see above."
for check in ${CHECKS:-test lint}; do ${MAKE:-make} "$check" || no "make $check failed."; done
${MAKE:-make} dist || no "the distributions cannot be built; see above."

git tag "v$version"
[ -n "$(git tag --list "contract-v$contract")" ] || git tag "contract-v$contract"
echo "Tagged v$version, with contract-v$contract. To publish: git push --tags, then upload dist/*."
