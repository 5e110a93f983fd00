#!/usr/bin/env bash
# Runs the tests that start no control plane, in every module.
set -euo pipefail

timeout=10m
if [[ -n ${BUDGET:-} ]]; then timeout=24h; fi

go test -race -timeout "$timeout" ./...
tools/modules.sh | while read -r module; do
  if [[ $module != . ]]; then (set -x && cd "$module" && go test -timeout "$timeout" ./...); fi
done
