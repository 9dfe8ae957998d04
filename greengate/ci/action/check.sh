# Runs the check and writes outputs, summary and annotations; never fails by the verdict, the last step does that.
set -euo pipefail

usage() {
  echo "::error title=greengate::$1"
  echo "outcome=error" >>"$GITHUB_OUTPUT"
  echo "exit-code=2" >>"$GITHUB_OUTPUT"
  exit 0
}
[[ "$GREENGATE_FAIL_ON" =~ ^(inconclusive|fail|never)$ ]] || usage "fail-on must be inconclusive, fail or never"
[[ "$GREENGATE_COMMENT" =~ ^(always|on-change|on-failure|never)$ ]] ||
  usage "comment must be always, on-change, on-failure or never"

[[ "$GREENGATE_SKIP_UNCHANGED" =~ ^(true|false)$ ]] || usage "skip-unchanged must be true or false"

reports="$GREENGATE_REPORT_DIR"
mkdir -p -- "$reports"
rm -f -- "$reports"/{verdict.json,report.md,summary.md,junit.xml,outcome.env,annotations.txt,plan.json}
rm -rf -- "$reports/parts" # whatever the change has there, it was not measured

options=(--budget "$GREENGATE_BUDGETS" --max-seconds "$GREENGATE_MAX_SECONDS")
[[ -z "$GREENGATE_AGAINST" ]] || options+=(--against "$GREENGATE_AGAINST")
[[ "$GREENGATE_SKIP_UNCHANGED" == false ]] || options+=(--skip-unchanged)
[[ -z "$GREENGATE_PART" ]] || options+=(--part "$GREENGATE_PART")
[[ -z "$GREENGATE_PROFILES" ]] || options+=(--profile "$GREENGATE_PROFILES")
if [[ -n "$GREENGATE_PLAN" ]]; then
  printf '%s\n' "$GREENGATE_PLAN" >"$reports/plan.json"
  options+=(--plan "$reports/plan.json")
fi
for report in json=verdict.json markdown=report.md summary=summary.md junit=junit.xml dotenv=outcome.env \
  github=annotations.txt; do
  options+=(--report "${report%%=*}=$reports/${report#*=}")
done
models=()
while IFS= read -r line; do
  line="${line#"${line%%[![:space:]]*}"}"
  line="${line%"${line##*[![:space:]]}"}"
  [[ -z "$line" ]] || models+=("$line")
done <<<"$GREENGATE_MODELS"

# Names in the report and lines of the budget are the pull request's: nothing of them is a command to the runner.
pause="$("$GREENGATE_PYTHON" -P -c 'import secrets; print(secrets.token_hex(16))')"
echo "::stop-commands::$pause"
code=0
"$GREENGATE_PYTHON" -P -m greengate check "${options[@]}" --report terminal=- -- "${models[@]}" 2>&1 || code=$?
echo "::$pause::"

if [[ -n "$GREENGATE_PART" && "$code" == 0 && ! -f "$reports/outcome.env" ]]; then
  echo "exit-code=0" >>"$GITHUB_OUTPUT"
  exit 0 # nothing to measure for this part
fi
if [[ ! -f "$reports/outcome.env" && ! "$code" =~ ^(2|130)$ ]]; then
  code=70 # a Python that cannot even start ends with 1, which is no verdict
fi
echo "exit-code=$code" >>"$GITHUB_OUTPUT"
if [[ ! -f "$reports/outcome.env" ]]; then
  echo "::error title=greengate::nothing was judged (exit code $code): the reason stands in the log above"
  echo "outcome=error" >>"$GITHUB_OUTPUT"
  echo "**greengate could not start** (exit code $code): the reason stands in the job's log." >>"$GITHUB_STEP_SUMMARY"
  exit 0
fi
if [[ -n "$GREENGATE_PART" ]]; then
  # The last job speaks for all parts; this one hands over what it measured: the files just written, and no others.
  mkdir -p -- "$reports/parts/$GREENGATE_PART"
  for file in "$(dirname -- "$GREENGATE_BUDGETS")/.greengate/parts/$GREENGATE_PART"/*.json; do
    [[ ! -f "$file" || -L "$file" ]] || cp -- "$file" "$reports/parts/$GREENGATE_PART/"
  done
else
  cat -- "$reports/annotations.txt"
  cat -- "$reports/summary.md" >>"$GITHUB_STEP_SUMMARY"
fi
while IFS='=' read -r key value; do
  case "$key" in
  GREENGATE_OUTCOME) echo "outcome=$value" ;;
  GREENGATE_VIOLATIONS) echo "violations=$value" ;;
  GREENGATE_CANDIDATE_DIGEST) echo "candidate-digest=$value" ;;
  esac
done <"$reports/outcome.env" >>"$GITHUB_OUTPUT"
echo "report-path=$reports/report.md" >>"$GITHUB_OUTPUT"
echo "json-path=$reports/verdict.json" >>"$GITHUB_OUTPUT"
