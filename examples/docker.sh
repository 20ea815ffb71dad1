#!/usr/bin/env bash
# A container from nothing and back: builds the node, starts it in a temporary folder, asks for a container of the Docker
# engine here, shows what it wrote, gives it back and shows that it is gone. Needs Go and a Docker engine that you may
# use (`docker ps` works), with busybox:1.36 or a way to pull it. Works with the bash 3.2 of macOS.
set -euo pipefail
cd "$(dirname "$0")/.."

farm=$(mktemp -d)
node=""
finish() {
	if [ -n "$node" ]; then
		# Environments outlive their node: what was asked for is given back first, however far we came.
		aquarium-fish app list --active -o name 2>/dev/null | while read -r uid; do aquarium-fish app deallocate "$uid" --wait >/dev/null || true; done
		kill "$node" 2>/dev/null || true
		wait "$node" 2>/dev/null || true
	fi
	rm -rf "$farm"
}
trap finish EXIT

step() { printf '\n== %s\n' "$*"; }

# run COMMAND...: prints it, and runs it.
run() {
	printf '$'
	printf ' %s' "$@"
	printf '\n'
	"$@"
}
ours() { docker ps --all --quiet --filter "label=aquarium.fish.application=$1"; }

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

step "Build"
./build.sh
PATH=$(pwd):$PATH
examples=$(pwd)/examples

step "Start a node in $farm"
sed -e 's/^api_address: .*/api_address: 127.0.0.1:0/; s/^meta_address: .*/meta_address: 0.0.0.0:0/' "$examples/config-docker.yml" >"$farm/config.yml"
echo "proxy_ssh_address: 127.0.0.1:0" >>"$farm/config.yml"
grep -v '^ *#' "$farm/config.yml"
cd "$farm"
aquarium-fish --cfg config.yml >log 2>&1 &
node=$!
wait_for grep -q 'Fish initialized$' log
grep 'driver is' log || true
export AQUARIUM_FISH_ADDRESS AQUARIUM_FISH_CA=$farm/fish_data/ca.crt AQUARIUM_FISH_PASSWORD XDG_CONFIG_HOME=$farm
AQUARIUM_FISH_ADDRESS=$(sed -n 's/.*API listening on: //p' log)
AQUARIUM_FISH_PASSWORD=$(sed -n 's/^Admin user pass: //p' log)

step "Create a label: what an environment is"
run aquarium-fish label apply -f "$examples/label-docker.yml"

step "Ask for one, and wait: the engine may have to pull its image"
run aquarium-fish app run hello-docker --metadata-file "$examples/application-docker.yml" --wait --timeout 10m
uid=$(aquarium-fish app list --active -o name)

step "What the container wrote"
container=$(ours "$uid")
wrote() { docker logs "$container" 2>&1 | grep -q ' says '; }
wait_for wrote
run docker logs "$container"

step "How it is bounded"
docker inspect --format 'memory {{.HostConfig.Memory}}, {{.HostConfig.SecurityOpt}}, network {{.HostConfig.NetworkMode}}' "$container"

step "Give it back"
run aquarium-fish app deallocate "$uid" --wait
if [ -n "$(ours "$uid")" ]; then
	echo "the container is still there" >&2
	exit 1
fi
echo "the container is gone"

step "Stop the node"
kill "$node"
wait "$node"
node=""
tail -n 1 log
