#!/usr/bin/env bash
# Runs tests and then prints what the sampled ones among them have covered:
#   covered.sh COMMAND…
# They note it in the file that KRONVOY_COVERED names (see test/budget).
set -uo pipefail

KRONVOY_COVERED=$(mktemp)
export KRONVOY_COVERED
trap 'rm -f "$KRONVOY_COVERED"' EXIT
"$@"
code=$?
sed 's/^/covered: /' "$KRONVOY_COVERED"
exit "$code"
