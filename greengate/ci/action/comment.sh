# Brings the pull request's comment up to date; the only step that has a token, and it loads no model.
set -euo pipefail

said="$("$GREENGATE_PYTHON" -P -m greengate comment --from "$GREENGATE_JSON" --when "$GREENGATE_COMMENT" \
  --key "$GREENGATE_KEY")" || {
  # A comment that cannot be written is no verdict: the gate's own answer stands.
  echo "::warning title=greengate::the comment was not written: the reason stands in the log above"
  exit 0
}
echo "$said"
if [[ "$said" == "not posted: "* ]]; then
  echo "::notice title=greengate::${said//%/%25}"
elif [[ "$said" =~ issuecomment-([0-9]+) ]]; then
  echo "comment-id=${BASH_REMATCH[1]}" >>"$GITHUB_OUTPUT"
fi
