#!/usr/bin/env bash
# serve.sh PROGRAMS STATE: runs a PostgreSQL on a socket of its own until no test needs it any more, then leaves nothing behind.
#
# PROGRAMS is the folder of initdb and postgres. Each test process holds a shared lock on the file STATE/users; who has ended, however
# it ended, holds none. Prints the folder of the socket once the server answers, and keeps it in STATE/socket meanwhile. While there is
# a file STATE/halted the server may be down; when it is removed, the server is started again. POSTGRES_SETTINGS may hold more options.
set -euo pipefail
programs=$1
state=$2

# Short: the path of a socket may have 107 bytes. Nobody else gets in, so that users need no passwords.
folder=$(mktemp -d /tmp/tandem-postgres.XXXXXX)
server=
stop() {
	rm -f "$state/socket"
	if [[ -n $server ]]; then
		if postmaster=$(head -n 1 "$folder/data/postmaster.pid" 2>/dev/null); then
			# A test that failed may have left it frozen.
			# shellcheck disable=SC2046
			kill -CONT "$postmaster" $(cat "/proc/$postmaster/task/$postmaster/children") || true
			kill -INT "$postmaster" || true
		fi
		wait "$server" || true
	fi
	rm -rf "$folder"
}
trap stop EXIT

as_owner=()
if ((EUID == 0)); then
	# PostgreSQL refuses to run as root.
	chown postgres "$folder"
	as_owner=(runuser -u postgres --)
fi
cd "$folder"

"${as_owner[@]}" "$programs/initdb" --pgdata=data --username=postgres --auth=trust --encoding=UTF8 --locale=C --no-sync >&2
cat >data/pg_hba.conf <<-'RULES'
	local all postgres trust
	local all all scram-sha-256
RULES
start() {
	# shellcheck disable=SC2086
	"${as_owner[@]}" "$programs/postgres" -D data -k "$folder" -c listen_addresses= -c max_connections=300 -c shared_buffers=64MB \
		-c fsync=off -c synchronous_commit=off -c full_page_writes=off -c autovacuum=off ${POSTGRES_SETTINGS:-} >&2 &
	server=$!
	# The eighth line says whether it answers.
	until [[ $(sed -n 8p data/postmaster.pid 2>/dev/null) == ready* ]]; do
		kill -0 "$server"
		sleep 0.05
	done
}
start

echo "$folder" >"$state/socket"
echo "$folder"
# Whoever waits for more than that line waits no longer.
exec >&2

exec 9<"$state/users"
until flock --exclusive --nonblock 9; do
	if [[ -e $state/halted ]]; then
		until [[ ! -e $state/halted ]] || flock --exclusive --nonblock 9; do
			sleep 0.05
		done
		kill -0 "$server" 2>/dev/null || start
	fi
	kill -0 "$server"
	sleep 0.5
done
