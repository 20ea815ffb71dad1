#!/usr/bin/env bash
# Three nodes on this machine as one farm: the first invites the others, applications spread over all of them, one node
# is killed, and the rest goes on. Everything is in a temporary folder, on free ports. Needs Go, no root.
# Works with the bash 3.2 of macOS.
set -euo pipefail
cd "$(dirname "$0")/.."

farm=$(mktemp -d)
binary=$(pwd)/aquarium-fish
names="anna bert carl"
# The processes of the nodes, in the same order; empty: it does not run.
anna=""
bert=""
carl=""

finish() {
	local name pid
	# Environments outlive their node: what was asked for is given back first, however far we came.
	(give_back) >/dev/null 2>&1 || true
	for name in $names; do
		eval "pid=\$$name"
		if [ -n "$pid" ]; then
			kill "$pid" 2>/dev/null || true
			wait "$pid" 2>/dev/null || true
		fi
	done
	rm -rf "$farm"
}
trap finish EXIT

step() { printf '\n== %s\n' "$*"; }

# wait_for CONDITION...: until the command succeeds, at most 60 s.
wait_for() {
	local tries=0
	until "$@"; do
		tries=$((tries + 1))
		if [ "$tries" -gt 300 ]; then
			echo "gave up waiting for: $*" >&2
			tail -n 20 "$farm"/*/log >&2
			exit 1
		fi
		sleep 0.2
	done
}

# address NAME: where the node listens, once it does.
address() { sed -n 's/.*API listening on: //p' "$farm/$1/log" | tail -n 1; }

# fish NAME COMMAND...: the client, asking that node. The password stays in the environment.
fish() {
	local name=$1
	shift
	AQUARIUM_FISH_ADDRESS=$(address "$name") AQUARIUM_FISH_CA="$farm/anna/data/ca.crt" AQUARIUM_FISH_PASSWORD=$password "$binary" "$@"
}

# shown NAME COMMAND...: the same, printed first.
shown() {
	printf '%s$ aquarium-fish %s\n' "$1" "$(shift && echo "$*")"
	fish "$@"
}

# config NAME [PORT]: the config of a node; port 0 picks a free one.
config() {
	mkdir -p "$farm/$1"
	cat >"$farm/$1/fish.yml" <<END
node_name: $1
directory: data
api_address: 127.0.0.1:${2:-0}
proxy_ssh_address: 127.0.0.1:0
proxy_socks_address: 127.0.0.1:0
drivers:
  - name: native
    cfg:
      isolation: process
      cpu_alter: 2 # the three share this machine: room for two of the example on each, however small it is
END
}

# start NAME: in its own folder, until it serves.
start() {
	: >"$farm/$1/log"
	(cd "$farm/$1" && exec "$binary" --cfg fish.yml >>log 2>&1) &
	eval "$1=$!"
	wait_for grep -q 'Fish initialized$' "$farm/$1/log"
	echo "$1 listens on $(address "$1")"
}

# join NAME: invited by the first node; nobody copies keys.
join() {
	config "$1"
	fish anna cluster invite "$1" --via "$(address anna)" -o name |
		(cd "$farm/$1" && "$binary" cluster join --cfg fish.yml)
}

# together N NAME: the node sees that many active members.
together() { [ "$(fish "$2" cluster status 2>/dev/null | grep -c ' active ')" = "$1" ]; }

# running NAME N: the node sees that many applications that have an environment.
running() { [ "$(fish "$1" app list --active 2>/dev/null | grep -c ' ALLOCATED ')" = "$2" ]; }

# values KEY: those of a key of the objects in the YAML list on standard input, one a line.
values() { sed -n "s/^[- ] $1: \"*\([^\"]*\)\"*\$/\1/p"; }

# places NAME: on which node each application runs, as that node tells.
places() {
	local nodes uid at
	nodes=$(fish "$1" node list -o yaml)
	nodes=$(paste -d ' ' <(printf '%s\n' "$nodes" | values UID) <(printf '%s\n' "$nodes" | values name))
	paste -d ' ' <(fish "$1" resource list -o yaml | values application_UID) <(fish "$1" resource list -o yaml | values node_UID) |
		while read -r uid at; do
			printf 'application %s runs on %s\n' "$uid" "$(printf '%s\n' "$nodes" | sed -n "s/^$at //p")"
		done
}

# ask NAME TIMES: that many applications, at that node.
ask() {
	local n
	for n in $(seq "$2"); do
		fish "$1" app run hello -m "NUMBER=$n" -o name
	done
}

# give_back: every application that is not over, told to whichever node.
give_back() {
	local uid
	for uid in $(fish anna app list --active -o name); do
		fish anna app deallocate "$uid" >/dev/null
	done
}
over() { [ -z "$(fish anna app list --active -o name)" ]; }

# gone NAME MEMBER: the node sees that the member can not be reached.
gone() { fish "$1" cluster status 2>/dev/null | grep -q "^$2 *unreachable"; }

step "Build"
./build.sh

step "The first node makes the cluster's CA, and the admin's password"
config anna
start anna
password=$(sed -n 's/^Admin user pass: //p' "$farm/anna/log")

step "It invites two machines; each makes a key of its own, joins by its token and starts"
for name in bert carl; do
	join "$name"
	start "$name"
done
for name in $names; do wait_for together 3 "$name"; done
shown carl cluster status

step "A label made on anna is known to all"
cat >"$farm/label.yml" <<'END'
name: hello
definitions:
  - driver: native
    options: {entry: 'echo "hello from $$"; exec sleep 300'}
    resources: {cpu: 1, ram: 1}
END
cat "$farm/label.yml"
fish anna label apply -f "$farm/label.yml"
wait_for fish carl label get hello >/dev/null

step "Six applications, asked for at carl: each runs where it fits best"
ask carl 6
wait_for running anna 6
places bert

step "bert is killed with -9: the others know within seconds, and go on"
kill -9 "$bert"
wait "$bert" 2>/dev/null || true
bert=""
wait_for gone anna bert
wait_for gone carl bert
shown anna cluster status
ask carl 1
wait_for running anna 7
places carl

step "bert is started again: what ran there ran on, and it learns what happened"
start bert
for name in $names; do wait_for together 3 "$name"; done
wait_for running bert 7
places bert

step "All of it is given back, told to anna alone"
give_back
wait_for over
for name in $names; do
	if ls "$farm/$name/fish_native_workspace" 2>/dev/null | grep -q '^fish-'; then
		echo "an environment of $name is still there" >&2
		exit 1
	fi
done
echo "nothing is left"

step "Stop the nodes"
for name in $names; do
	eval "kill \$$name; wait \$$name; $name=''"
	tail -n 1 "$farm/$name/log"
done
echo
echo "That was a farm. How to make one of three machines is in README.md."
