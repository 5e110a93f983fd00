#!/usr/bin/env bash
# Runs one step of a longer target and says how long it took:
#   step.sh make TARGET [VARIABLE=VALUE…]
set -uo pipefail

printf '\n=== %s\n' "${*:2}"
"$@"
code=$?
if [[ $code == 0 ]]; then result=passed; else result=FAILED; fi
printf '=== %s %s after %dm%02ds\n' "$2" "$result" $((SECONDS / 60)) $((SECONDS % 60))
exit "$code"
