# Installs greengate from the action's own checkout: beside what is set up here, or into the Python on PATH.
set -euo pipefail

if [[ -n "$GREENGATE_EXTRAS" && ! "$GREENGATE_EXTRAS" =~ ^[a-z]+(,[a-z]+)*$ ]]; then
  echo "::error title=greengate::extras must be names separated by commas, such as torch,carbon"
  exit 2
fi
# -P, here and in the other steps: a module of the checkout that is called like one of ours is not run.
python=python
if [[ "$GREENGATE_OWN_PYTHON" != true ]]; then
  python -P -m venv "$RUNNER_TEMP/greengate"
  python="$RUNNER_TEMP/greengate/bin/python"
fi
"$python" -P -m pip --disable-pip-version-check install --quiet \
  "$GITHUB_ACTION_PATH${GREENGATE_EXTRAS:+[$GREENGATE_EXTRAS]}"
echo "GREENGATE_PYTHON=$(command -v "$python")" >>"$GITHUB_ENV"
