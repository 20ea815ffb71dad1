#!/bin/sh
# Makes the node's user and folders. Nothing is started: the config comes first.
set -e
if [ "$1" = abort-upgrade ] || [ "$1" = abort-remove ] || [ "$1" = abort-deconfigure ]; then exit 0; fi

if ! getent group aquarium-fish >/dev/null; then
	groupadd --system aquarium-fish
fi
if ! getent passwd aquarium-fish >/dev/null; then
	useradd --system --gid aquarium-fish --home-dir /var/lib/aquarium-fish --no-create-home \
		--shell /usr/sbin/nologin --comment "Aquarium Fish" aquarium-fish
fi
install -d -o aquarium-fish -g aquarium-fish -m 0711 /var/lib/aquarium-fish
install -d -o aquarium-fish -g aquarium-fish -m 0700 /var/lib/aquarium-fish/data
chgrp aquarium-fish /etc/aquarium-fish /etc/aquarium-fish/config.yml
chmod 0750 /etc/aquarium-fish
chmod 0640 /etc/aquarium-fish/config.yml

if [ -d /run/systemd/system ]; then
	systemctl daemon-reload || true
	# After an upgrade; environments live on.
	systemctl try-restart aquarium-fish.service || true
fi
