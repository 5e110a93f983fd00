#!/usr/bin/env bash
# Prints the directories of the modules that hold Go code, the root first.
set -euo pipefail

tools/files.sh go.mod '*/go.mod' | xargs -n1 dirname | sort | while read -r module; do
  if [[ -n $(cd "$module" && go list ./... 2>/dev/null) ]]; then echo "$module"; fi
done
