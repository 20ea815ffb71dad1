#!/bin/sh
# Makes the node's user and folders. Nothing is started: the config comes first.
set -e
case "$1" in
abort-*) exit 0 ;;
esac

if ! getent group aquarium-fish >/dev/null; then
	groupadd --system aquarium-fish
fi
if ! getent passwd aquarium-fish >/dev/null; then
	useradd --system --gid aquarium-fish --home-dir /var/lib/aquarium-fish --no-create-home \
		--shell /usr/sbin/nologin --comment "Aquarium Fish" aquarium-fish
fi
# What is there keeps its owner: where the node is root, systemd gives all that is below to root when the top is not, also
# the homes that running environments write to.
if [ ! -d /var/lib/aquarium-fish ]; then
	install -d -o aquarium-fish -g aquarium-fish -m 0711 /var/lib/aquarium-fish
	install -d -o aquarium-fish -g aquarium-fish -m 0700 /var/lib/aquarium-fish/data
fi
chgrp aquarium-fish /etc/aquarium-fish
chmod 0750 /etc/aquarium-fish
config=/etc/aquarium-fish/config.yml
if [ -e "$config" ] && [ "$(stat -c %G "$config")" = root ]; then # it may have been removed, or given to others
	chgrp aquarium-fish "$config"
fi

if [ -d /run/systemd/system ]; then
	systemctl daemon-reload || true
	# After an upgrade; environments live on.
	systemctl try-restart aquarium-fish.service || true
fi
