#!/usr/bin/env bash
# Prints the files of the work tree that git knows or would add:
#   files.sh PATTERN…
set -euo pipefail

git ls-files --cached --others --exclude-standard --deduplicate -- "$@" | while read -r file; do
  if [[ -e $file ]]; then echo "$file"; fi
done
