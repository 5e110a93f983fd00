#!/usr/bin/env bash
# Runs `go mod tidy` in every module of the repository.
set -euo pipefail

tools/files.sh go.mod '*/go.mod' | while read -r file; do
  (cd "$(dirname "$file")" && go mod tidy)
done
