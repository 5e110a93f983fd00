#!/usr/bin/env bash
# Fuzzes every target of the repository for BUDGET each (30s; "all" is 10m), and
# says how many it covered. What fails is kept by Go in testdata/fuzz.
set -euo pipefail

time=${BUDGET:-30s}
if [[ $time == all ]]; then time=10m; fi

targets=$(tools/files.sh '*_test.go' | xargs awk '/^func Fuzz/ { dir = FILENAME; sub(/\/[^\/]*$/, "", dir); sub(/\(.*/, "", $2); print "./" dir, $2 }')
if [[ -z $targets ]]; then
  echo "there is nothing to fuzz"
  exit 0
fi
total=$(wc -l <<<"$targets")
done=0
while read -r package target; do
  echo "fuzzing $target in $package for $time ($((done + 1)) of $total)"
  (cd "$package" && go test -run='^$' -fuzz="^$target\$" -fuzztime="$time" .)
  done=$((done + 1))
done <<<"$targets"
echo "covered: $done of $total fuzz targets, $time each"
