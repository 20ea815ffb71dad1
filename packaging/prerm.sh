#!/bin/sh
# Stops the node before it is removed ("remove" of dpkg, 0 of rpm), and for nothing else: an upgrade restarts it.
set -e
case "$1" in
remove | 0) ;;
*) exit 0 ;;
esac
if [ -d /run/systemd/system ]; then
	systemctl --no-reload disable --now aquarium-fish.service || true
fi
