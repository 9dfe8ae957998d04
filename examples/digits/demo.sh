#!/usr/bin/env bash
# Runs the gate three times and fails unless it answers 0, 1 and 3. GREENGATE names the command to run.
set -euo pipefail
cd "$(dirname "$0")"
gate=${GREENGATE:-greengate}
results=()

# expect CODE WORD MODEL [OPTION...]: say what follows, run it, and hold it to the exit code
expect() {
  local code=$1 word=$2 seen=0
  shift 2
  printf '$ greengate check %s\n' "$*"
  "$gate" check "$@" || seen=$?
  printf 'exit code %s\n' "$seen"
  if [ "$seen" != "$code" ]; then
    echo "error: the demo expected exit code $code ($word) and saw $seen" >&2
    exit 1
  fi
  results+=("$(printf '  exit %s  %-12s  greengate check %s' "$seen" "$word" "$*")")
}

echo "A slimmer network: half the cost of the accepted baseline."
expect 0 pass digits=candidates/slimmer.onnx

printf "\nA wider network: over the budget for size, parameters and operations.\n"
expect 1 fail digits=candidates/wider.onnx

printf "\nThe slimmer network again, with nothing to compare it with: the gate does not guess.\n"
expect 3 inconclusive digits=candidates/slimmer.onnx --against none

printf '\nThree verdicts:\n'
printf '%s\n' "${results[@]}"
