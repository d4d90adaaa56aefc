#!/bin/sh
# Chromium for the tests that open a report in a real browser: Debian's, where it is absent and may be installed.
# Always ends well: without a browser those tests are skipped, and say why.
if command -v chromium >/dev/null 2>&1; then
  exit 0
fi
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
  echo "no chromium: the browser tests are skipped; on Debian: sudo apt-get install chromium"
  exit 0
fi
echo "installing chromium for the browser tests"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
if ! { apt-get update && apt-get install -y --no-install-recommends chromium fonts-dejavu-core; } >"$log" 2>&1; then
  tail -n 5 "$log"
  echo "chromium could not be installed: the browser tests are skipped"
fi
rm -f "$log"
