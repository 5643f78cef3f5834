#!/usr/bin/env bash
# Makes sure that the programs which the tests talk to are there. As root it installs what is missing from Debian; anybody else is
# told what to install. Nothing is upgraded, no service of what is installed is started, and nothing is asked of the network when
# nothing is missing.
set -euo pipefail

# Program and the Debian package that has it.
peers=(
	"sipp sip-tester"
	"baresip baresip-core"
	"kamailio kamailio"
	"tcpdump tcpdump"
	"curl curl"
	"postgres postgresql"
	"prometheus prometheus"
)

postgres=$(printf '%s:' /usr/lib/postgresql/*/bin)

missing=()
for peer in "${peers[@]}"; do
	read -r program package <<<"$peer"
	# Kamailio and tcpdump are in folders that only root has in its path, the database server in nobody's.
	PATH="$PATH:/usr/sbin:/sbin:$postgres" command -v "$program" >/dev/null || missing+=("$package")
done
if ((${#missing[@]} == 0)); then
	exit 0
fi

if ((EUID != 0)) || ! command -v apt-get >/dev/null; then
	echo "The tests need programs that are not installed. Install these Debian packages:" >&2
	echo "  sudo apt-get install --no-install-recommends ${missing[*]}" >&2
	exit 1
fi

echo "Installing ${missing[*]} for the tests."
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# Kamailio would take port 5060 as soon as it is installed.
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
	trap 'rm -f "$policy"' EXIT
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod +x "$policy"
fi
apt-get install -y -qq --no-install-recommends "${missing[@]}"
