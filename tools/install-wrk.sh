#!/bin/sh
# wrk and slowhttptest, the load of benchmarks/serve.py: Debian's, where they are absent and may be installed.
if command -v wrk >/dev/null 2>&1 && command -v slowhttptest >/dev/null 2>&1; then
  exit 0
fi
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
  echo "wrk or slowhttptest is missing; on Debian: sudo apt-get install wrk slowhttptest"
  exit 1
fi
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
if ! { apt-get update && apt-get install -y --no-install-recommends wrk slowhttptest; } >"$log" 2>&1; then
  tail -n 5 "$log"
  rm -f "$log"
  exit 1
fi
rm -f "$log"
