#!/usr/bin/env bash
# Runs the tests on real control planes, one package at a time:
#   integration.sh whole    all but the sampled ones; RUN=regexp selects
#   integration.sh sampled  those that test/budget bounds; RUN=regexp selects
# A test is sampled where it calls budget.New itself.
set -euo pipefail

run=${RUN:-.}
files=$(tools/files.sh '*_test.go' | xargs grep -lE '^//go:build .*\bintegration\b' || true)
if [[ -z $files ]]; then
  echo "no test carries the build tag integration"
  exit 0
fi

# Lines of "package test".
sampled=$(awk '
  /^func Test/ { test = $2; sub(/\(.*/, "", test) }
  /budget\.New\(/ { dir = FILENAME; sub(/\/[^\/]*$/, "", dir); print "./" dir, test }
' $files | sort -u | while read -r dir test; do
  if [[ $1 != sampled ]] || grep -qE "$run" <<<"$test"; then echo "$dir $test"; fi
done)
names=$(cut -d' ' -f2 <<<"$sampled" | paste -sd'|' -)

case $1 in
whole)
  packages=$(xargs -n1 dirname <<<"$files" | sort -u | sed 's,^,./,')
  exec go test -tags integration -count=1 -v -p 1 -timeout 60m -run "$run" -skip "^(${names:-none})\$" $packages
  ;;
sampled)
  if [[ -z $sampled ]]; then
    echo "no test is sampled"
    exit 0
  fi
  packages=$(cut -d' ' -f1 <<<"$sampled" | sort -u)
  exec go test -tags integration -count=1 -v -p 1 -timeout 24h -run "^($names)\$" $packages
  ;;
*)
  echo "usage: integration.sh whole|sampled" >&2
  exit 2
  ;;
esac
