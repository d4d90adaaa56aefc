#!/bin/sh
# Programs that some tests and benchmarks need and a machine may lack, out of Debian:
#   tools/install-debian.sh chromium     the browser tests
#   tools/install-debian.sh postgresql   the tests of that store, which start a server of their own as an ordinary user
#   tools/install-debian.sh load         wrk and slowhttptest, for benchmarks/serve.py and serve_guard.py
# Always ends well: what needs an absent program is skipped or stops, and says why.
there() {
  for program in "$@"; do command -v "$program" >/dev/null 2>&1 || return 1; done
}
case "$1" in
  chromium)   packages="chromium fonts-dejavu-core"; there chromium && exit 0 ;;
  postgresql) packages="postgresql"; ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 && exit 0; there initdb && exit 0 ;;
  load)       packages="wrk slowhttptest"; there wrk slowhttptest && exit 0 ;;
  *)          echo "tools/install-debian.sh chromium | postgresql | load"; exit 2 ;;
esac
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
  echo "no $1: what needs it is left out; on Debian: sudo apt-get install $packages"
  exit 0
fi
echo "installing $packages"
export DEBIAN_FRONTEND=noninteractive
if [ "$1" = postgresql ]; then  # no cluster of Debian's own is wanted, only the programs
  mkdir -p /etc/postgresql-common
  [ -e /etc/postgresql-common/createcluster.conf ] || echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf
fi
log=$(mktemp)
# shellcheck disable=SC2086 # a list of names
if ! { apt-get update && apt-get install -y --no-install-recommends $packages; } >"$log" 2>&1; then
  tail -n 5 "$log"
  echo "$packages could not be installed: what needs it is left out"
fi
rm -f "$log"
