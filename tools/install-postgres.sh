#!/bin/sh
# PostgreSQL for the tests of the store: Debian's, where it is absent and may be installed. Nothing is started here:
# the tests start a server of their own, as an ordinary user, on a free port. Always ends well: without it they skip.
if ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null 2>&1; then
  exit 0
fi
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
  echo "no PostgreSQL: the tests of that store are skipped; on Debian: sudo apt-get install postgresql"
  exit 0
fi
echo "installing PostgreSQL for the tests of the store"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
# No cluster of Debian's own is wanted, only the programs.
mkdir -p /etc/postgresql-common
[ -e /etc/postgresql-common/createcluster.conf ] || echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf
if ! { apt-get update && apt-get install -y --no-install-recommends postgresql; } >"$log" 2>&1; then
  tail -n 5 "$log"
  echo "PostgreSQL could not be installed: the tests of that store are skipped"
fi
rm -f "$log"
