#!/usr/bin/env bash
# Runs gofmt, go vet and golangci-lint over every module.
set -euo pipefail

unformatted=$(tools/files.sh '*.go' | xargs gofmt -l)
if [[ -n $unformatted ]]; then
  printf 'not formatted, run gofmt -w on:\n%s\n' "$unformatted"
  exit 1
fi
lint=$PWD/tools/lint/go.mod
failed=
for module in $(tools/modules.sh); do
  echo "linting $module"
  (cd "$module" && go vet -tags integration ./... && go tool -modfile="$lint" golangci-lint run --allow-parallel-runners) || failed=yes
done
[[ -z $failed ]]
