#!/usr/bin/env bash
# What the action does. Everything it is told comes in the environment; see action.yml.
set -euo pipefail

work="${RUNNER_TEMP:?}/latchkey"
mkdir -p "$work"
program="$LATCHKEY"
if ! command -v "$program" >/dev/null; then
  here="$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)"
  cargo install --quiet --locked --path "$here/compiler" --root "$work"
  program="$work/bin/latchkey"
fi
latchkey() { "$program" --color never -C "$DIRECTORY" "$@"; }

# 0 is clean, 1 is findings; anything else has nothing to show.
status=0
latchkey check --format github || status=$?
[ "$status" -le 1 ] || exit "$status"

if [ "$SARIF" = true ]; then
  latchkey check --format sarif > "$work/check.sarif" || [ $? -eq 1 ]
  # Code scanning takes a file that is compressed, then spelt in base64.
  gzip -c "$work/check.sarif" | base64 | tr -d '\n' > "$work/check.sarif.gz.b64"
  gh api --silent --method POST "repos/$GITHUB_REPOSITORY/code-scanning/sarifs" \
    -f "commit_sha=$GITHUB_SHA" -f "ref=$GITHUB_REF" -F "sarif=@$work/check.sarif.gz.b64"
fi

# A project with errors means nothing that could be compared.
if [ -n "${BASE:-}" ] && [ "$status" -eq 0 ]; then
  changed=0
  latchkey diff "$BASE...HEAD" --format markdown > "$work/diff.md" || changed=$?
  [ "$changed" -le 1 ] || exit "$changed"
  [ -z "${GITHUB_STEP_SUMMARY:-}" ] || cat "$work/diff.md" >> "$GITHUB_STEP_SUMMARY"
  if [ "$COMMENT" = true ]; then
    mark='<!-- latchkey diff -->'
    # A comment holds 65,536 characters.
    { echo "$mark"; head -c 60000 "$work/diff.md"; } > "$work/comment.md"
    if [ "$(wc -c < "$work/diff.md")" -gt 60000 ]; then
      printf '\n\nThis is cut; the summary of the run has all of it.\n' >> "$work/comment.md"
    fi
    comments="repos/$GITHUB_REPOSITORY/issues/$NUMBER/comments"
    old="$(gh api --paginate "$comments" --jq ".[] | select(.body | startswith(\"$mark\")) | .id")"
    old="${old%%$'\n'*}"
    if [ -n "$old" ]; then
      gh api --silent --method PATCH "repos/$GITHUB_REPOSITORY/issues/comments/$old" \
        -F "body=@$work/comment.md"
    else
      gh api --silent --method POST "$comments" -F "body=@$work/comment.md"
    fi
  fi
  if [ -n "$FAIL_ON" ]; then
    latchkey diff "$BASE...HEAD" --fail-on "$FAIL_ON" > /dev/null
  fi
fi
exit "$status"
