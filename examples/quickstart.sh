#!/usr/bin/env bash
# From nothing to an environment and back: builds the node, starts it in a temporary folder, asks for a real process,
# shows that it reads its own metadata, gives it back and shows that it is gone. Needs Go and curl, no root.
# Every request is printed as it is sent. Works with the bash 3.2 of macOS.
set -euo pipefail
cd "$(dirname "$0")/.."

farm=$(mktemp -d)
node=""
application=""
finish() {
	if [ -n "$node" ]; then
		# Environments outlive their node: what was asked for is given back first, however far we came.
		if [ -n "$application" ]; then
			quiet "/api/v1/application/$application/deallocate" >/dev/null 2>&1 || true
			(wait_for is_over) 2>/dev/null || true
		fi
		kill "$node" 2>/dev/null || true
		wait "$node" 2>/dev/null || true
	fi
	rm -rf "$farm"
}
trap finish EXIT

step() { printf '\n== %s\n' "$*"; }

# wait_for CONDITION...: until the command succeeds, at most 30 s.
wait_for() {
	local tries=0
	until "$@"; do
		tries=$((tries + 1))
		if [ "$tries" -gt 300 ]; then
			echo "gave up waiting for: $*" >&2
			tail -n 20 "$farm/log" >&2
			exit 1
		fi
		sleep 0.1
	done
}

# word TEXT: as one would type it in a shell.
word() {
	case $1 in
	*[!A-Za-z0-9@%+=:,./_-]*) printf " '%s'" "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")" ;;
	*) printf ' %s' "$1" ;;
	esac
}

# api PATH [CURL OPTIONS...]: one request as admin, printed first. The password stays in the variable.
api() {
	local path=$1 argument answer
	shift
	# shellcheck disable=SC2016 # shown, not expanded
	printf '$ curl --cacert ca.crt -u admin:$PASSWORD' >&2
	for argument in "$@" "$url$path"; do word "$argument" >&2; done
	printf '\n' >&2
	answer=$(quiet "$path" "$@")
	printf '%s\n' "$answer" >&2
	printf '%s\n' "$answer"
}
quiet() {
	local path=$1
	shift
	curl --silent --show-error --max-time 20 --cacert "$farm/data/ca.crt" -u "admin:$password" "$@" "$url$path"
}

# state: the status that the application shows.
state() { quiet "/api/v1/application/$application/state" | field status; }
is_allocated() { [ "$(state)" = ALLOCATED ]; }
is_over() { case $(state) in DEALLOCATED | ERROR | RECALLED) true ;; *) false ;; esac; }

# field NAME: the first value of that name in the JSON on standard input.
field() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p" | head -n 1; }

# The first UID in an answer is that of the object itself.
uid() { sed -n 's/^[[{]*"UID":"\([^"]*\)".*/\1/p' | head -n 1; }

step "Build"
./build.sh
ls -lh aquarium-fish

step "Start a node in $farm"
cat >"$farm/config.yml" <<EOF
directory: data
node_name: quickstart
api_address: 127.0.0.1:0
proxy_ssh_address: 127.0.0.1:0
proxy_socks_address: 127.0.0.1:0
drivers:
  - name: native
    cfg:
      isolation: process # as the user who runs the node; the default, user, makes a system user for each environment
EOF
cat "$farm/config.yml"
binary=$(pwd)/aquarium-fish
(cd "$farm" && exec "$binary" --cfg config.yml >log 2>&1) &
node=$!
wait_for grep -q 'Fish initialized$' "$farm/log"
url=https://$(sed -n 's/.*API listening on: //p' "$farm/log")
password=$(sed -n 's/^Admin user pass: //p' "$farm/log")
echo "it listens on $url; its certificate is signed by $farm/data/ca.crt"

step "Create a label: what an environment is"
cat >"$farm/label.yml" <<'EOF'
name: quickstart
version: 1
definitions:
  - driver: native
    options:
      entry: >-
        echo "I am process $$ and ask for my metadata";
        curl --silent --show-error --cacert "$AQUARIUM_FISH_CA" "$AQUARIUM_FISH_METADATA_URL?format=env";
        exec sleep 600
    resources: {cpu: 1, ram: 1}
metadata:
  FROM_LABEL: hello
EOF
cat "$farm/label.yml"
label=$(api /api/v1/label/ -H 'Content-Type: application/yaml' --data-binary "@$farm/label.yml" | uid)

step "Ask for one: an application"
application=$(api /api/v1/application/ -H 'Content-Type: application/json' \
	-d "{\"label_UID\":\"$label\",\"metadata\":{\"FROM_APPLICATION\":\"world\"}}" | uid)

step "Wait until it is ALLOCATED"
wait_for is_allocated
api "/api/v1/application/$application/state" >/dev/null
identifier=$(api "/api/v1/application/$application/resource" | field identifier)

step "What the process wrote: its own metadata, read through its own address"
log="$farm/fish_native_workspace/$identifier/log"
wait_for grep -q FROM_APPLICATION "$log"
cat "$log"
pid=$(sed -n 's/^I am process \([0-9]*\) .*/\1/p' "$log")

step "Give it back"
api "/api/v1/application/$application/deallocate" >/dev/null
wait_for is_over
api "/api/v1/application/$application/state" >/dev/null
if [ -e "$farm/fish_native_workspace/$identifier" ] || kill -0 "$pid" 2>/dev/null; then
	echo "the environment is still there" >&2
	exit 1
fi
echo "the process and its folder are gone"

step "Stop the node"
kill "$node"
wait "$node"
node=""
tail -n 2 "$farm/log"
echo
echo "That was a whole life of an environment. README.md goes on from here."
