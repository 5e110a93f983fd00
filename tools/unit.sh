#!/usr/bin/env bash
# Runs the tests that start no control plane, in every module.
set -euo pipefail

timeout=10m
if [[ -n ${BUDGET:-} ]]; then timeout=24h; fi

# A change is judged by the same random choices every time; others are for
# `make compare` and `make fuzz` to make.
export SEED=${SEED:-1}

go test -race -timeout "$timeout" ./...
tools/modules.sh | while read -r module; do
  if [[ $module != . ]]; then (set -x && cd "$module" && go test -timeout "$timeout" ./...); fi
done
