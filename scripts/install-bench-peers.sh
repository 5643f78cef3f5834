#!/usr/bin/env bash
# Makes sure that what the benches measure against is there. As root it installs what is missing from Debian; anybody else is told
# what to install. Nothing is upgraded, no service of what is installed is started, and nothing is asked of the network when
# nothing is missing.
set -euo pipefail

# Program or header, and the Debian packages that have it: the first that there is.
peers=(
	"cc gcc libc6-dev"
	"python3 python3"
	"kamailio kamailio"
	"wrk wrk"
	"rtpengine rtpengine-daemon|ngcp-rtpengine-daemon"
	"/usr/include/liburing.h liburing-dev"
)

missing=()
for peer in "${peers[@]}"; do
	read -ra words <<<"$peer"
	# Servers are in folders that only root has in its path.
	PATH="$PATH:/usr/sbin:/sbin" command -v "${words[0]}" >/dev/null || [[ -e ${words[0]} ]] || missing+=("${words[@]:1}")
done
if ((${#missing[@]} == 0)); then
	exit 0
fi

if ((EUID != 0)) || ! command -v apt-get >/dev/null; then
	echo "The benches need programs that are not installed. Install these Debian packages:" >&2
	echo "  sudo apt-get install --no-install-recommends ${missing[*]%%|*}" >&2
	exit 1
fi

echo "Installing ${missing[*]%%|*} for the benches."
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
packages=()
for choice in "${missing[@]}"; do
	IFS='|' read -ra names <<<"$choice"
	chosen=${names[0]}
	for name in "${names[@]}"; do
		if apt-cache policy "$name" | grep -q 'Candidate: [^(]'; then
			chosen=$name
			break
		fi
	done
	packages+=("$chosen")
done
# Kamailio would take port 5060 as soon as it is installed.
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
	trap 'rm -f "$policy"' EXIT
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod +x "$policy"
fi
apt-get install -y -qq --no-install-recommends "${packages[@]}"
