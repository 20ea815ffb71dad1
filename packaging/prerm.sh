#!/bin/sh
# Stops the node before it is removed, not before it is upgraded ("upgrade" of dpkg, 1 of rpm).
set -e
case "$1" in
upgrade | 1) exit 0 ;;
esac
if [ -d /run/systemd/system ]; then
	systemctl --no-reload disable --now aquarium-fish.service || true
fi
