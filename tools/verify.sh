#!/usr/bin/env bash
# Checks what can be checked without running Kronvoy. Generating must change
# nothing: the tree is compared with what it was before, so that it also serves
# who has not committed yet. In a clean checkout the two are the same.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
index=$(git rev-parse --git-path index)
objects=$(git rev-parse --path-format=absolute --git-path objects)

# An index and an object store of our own, which read the repository's.
own() {
  GIT_INDEX_FILE=$scratch/index GIT_OBJECT_DIRECTORY=$scratch/objects \
    GIT_ALTERNATE_OBJECT_DIRECTORIES=$objects git "$@"
}
mkdir "$scratch/objects"
cp "$index" "$scratch/index"

# snapshot prints the tree of everything that git would add.
snapshot() {
  own add --all
  own write-tree
}

unchanged() { # unchanged WHAT: fails where the tree is no longer as it was
  local after
  after=$(snapshot)
  if [[ $before != "$after" ]]; then
    own --no-pager diff --stat "$before" "$after"
    own --no-pager diff "$before" "$after" | head -n 60
    echo "$1 changed these files: commit the result"
    exit 1
  fi
}

before=$(snapshot)
make generate
unchanged "make generate"
make lint
make vuln
go test -count=1 -run TestTheDomainIsPure ./graph
make manifests
unchanged "make verify"
