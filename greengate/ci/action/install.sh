# Installs greengate from the action's own checkout: beside what is set up here, or into the Python on PATH.
set -euo pipefail

if [[ -n "$GREENGATE_EXTRAS" && ! "$GREENGATE_EXTRAS" =~ ^[a-z]+(,[a-z]+)*$ ]]; then
  echo "::error title=greengate::extras must be names separated by commas, such as torch,carbon"
  exit 2
fi
python=python
if [[ "$GREENGATE_OWN_PYTHON" != true ]]; then
  python -m venv "$RUNNER_TEMP/greengate"
  python="$RUNNER_TEMP/greengate/bin/python"
fi
"$python" -m pip --disable-pip-version-check install --quiet \
  "$GITHUB_ACTION_PATH${GREENGATE_EXTRAS:+[$GREENGATE_EXTRAS]}"
echo "GREENGATE_PYTHON=$(command -v "$python")" >>"$GITHUB_ENV"
