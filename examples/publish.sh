#!/bin/sh
# Publishes with curl: TOKEN=<a token of scope publish, or an API key> [URL=http://localhost:3000] ./publish.sh alice 'Sync finished'
set -eu
if [ $# -ne 2 ]; then
  echo "usage: TOKEN=… $0 <user> <title>" >&2
  exit 2
fi

json() { printf '"%s"' "$(printf %s "$1" | sed 's/[\\"]/\\&/g')"; }

# A retry with the same key never makes a second notification, so curl may repeat a request that failed.
exec curl --fail-with-body --silent --show-error --retry 5 --retry-connrefused "${URL:-http://localhost:3000}/v1/notifications" \
  -H "Authorization: Bearer ${TOKEN:?a token of scope publish, or an API key}" \
  -H 'Content-Type: application/json' \
  -H "Idempotency-Key: $(date +%s)-$$" \
  -d "{\"to\":$(json "$1"),\"type\":\"example\",\"title\":$(json "$2")}"
