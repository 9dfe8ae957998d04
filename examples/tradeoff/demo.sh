#!/usr/bin/env bash
# A better network that costs more: refused, approved, and refused again once it was trained anew. GREENGATE names the
# command to run; options are passed on to every check, such as --static-only, which leaves out what has to be metered.
# Works in a copy, so that no approval is left behind.
set -euo pipefail
gate=${GREENGATE:-greengate}
options=("$@")
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp -r "$(cd "$(dirname "$0")" && pwd)/." "$copy"
cd "$copy"

# expect CODE OPTION...: run a check and hold it to the exit code
expect() {
  local code=$1 seen=0
  shift
  printf '\n$ greengate check %s\n' "${options[*]+${options[*]} }$*"
  "$gate" check "${options[@]+${options[@]}}" "$@" || seen=$?
  printf 'exit code %s\n' "$seen"
  if [ "$seen" != "$code" ]; then
    echo "error: the demo expected exit code $code and saw $seen" >&2
    exit 1
  fi
}

echo "Nearly twice the operations, and far better: the gain is real, but nobody approved the price."
expect 1 digits=candidates/better.onnx

printf '\nSomebody approves this candidate.\n'
"$gate" approve energy compute --reason "fewer misread digits" --by lead@example.org \
  --expires "$(date -d '+30 days' +%F)"
expect 0 digits=candidates/better.onnx

printf '\nThe same network trained again is another candidate: the approval is void.\n'
expect 1 digits=candidates/retrained.onnx
