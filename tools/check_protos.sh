#!/usr/bin/env bash
# Lints proto/ and refuses changes that break callers of the last committed protos.
set -euo pipefail
cd "$(dirname "$0")/.."

.venv/bin/buf lint proto

# Compare with what was published: the committed state while proto/ has uncommitted changes,
# else the commit before the last one that touched proto/.
if ! git rev-parse --quiet --verify HEAD >/dev/null 2>&1; then
    echo "buf breaking: skipped, this is not a git checkout"
    exit 0
fi
base=HEAD
if git diff --quiet HEAD -- proto; then
    last="$(git log -1 --format=%H -- proto)"
    base="$(git rev-parse --quiet --verify "$last^" || true)"
fi
if [ -z "$base" ] || ! git cat-file -e "$base:proto/buf.yaml" 2>/dev/null; then
    echo "buf breaking: nothing earlier to compare with"
    exit 0
fi
earlier="$(mktemp -d)"
trap 'rm -rf "$earlier"' EXIT
git archive "$base" proto | tar -x -C "$earlier"
.venv/bin/buf breaking proto --against "$earlier/proto"
