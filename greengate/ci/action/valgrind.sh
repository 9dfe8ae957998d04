# Brings valgrind, where rules on simulated metrics judge and it is not here; a runner that cannot is no failure.
set -euo pipefail

usage() {
  echo "::error title=greengate::valgrind must be auto, true or false"
  exit 2
}
[[ "$GREENGATE_VALGRIND" =~ ^(auto|true|false)$ ]] || usage
if [[ "$GREENGATE_VALGRIND" == false || -n "$GREENGATE_PROFILES" ]] || command -v valgrind >/dev/null; then
  exit 0
fi
if [[ "$GREENGATE_VALGRIND" == auto ]]; then
  # What is wrong with a budget is the check's to say.
  needed="$("$GREENGATE_PYTHON" -P -m greengate plan --tools --budget "$GREENGATE_BUDGETS" 2>/dev/null)" || exit 0
  [[ "$needed" == valgrind ]] || exit 0
fi
as_root=()
[[ "$(id -u)" == 0 ]] || as_root=(sudo -n)
if ! { "${as_root[@]}" apt-get update -qq && "${as_root[@]}" apt-get install -y -qq --no-install-recommends valgrind; } >&2; then
  echo "::warning title=greengate::valgrind could not be installed: what counts instructions will be inconclusive"
fi
