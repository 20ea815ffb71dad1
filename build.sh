#!/usr/bin/env bash
# Builds and checks Aquarium Fish; `./build.sh help` tells how. Works with the bash 3.2 of macOS.
set -euo pipefail
cd "$(dirname "$0")"

binary=aquarium-fish
main=./cmd/aquarium-fish
lint_version=v2.15.0
export CGO_ENABLED=0 # the product is static; only the race detector needs cgo
# For tests as well as for the binary: compiled without -trimpath, nothing of the one could be used for the other. The
# version is set by the linker below, so Go need not ask git, which refuses a folder of another owner.
export GOFLAGS="-trimpath -buildvcs=false"

usage() {
	cat <<'EOF'
./build.sh            build the binary aquarium-fish; TAGS=noaws leaves AWS's SDK out, which takes minutes to compile
./build.sh test       every test that needs neither root nor a container engine (at most 5 minutes)
./build.sh test all   what CI runs: those that do as well, and the race detector
./build.sh bench      how fast the real binary is, against its goals: some 20 minutes (bench -quick: four; bench -help)
./build.sh lint       vet, gofmt, golangci-lint
./build.sh fmt        format the code
./build.sh generate   generate the API's server and client from openapi/openapi.yaml
./build.sh release    tar.gz, deb and rpm with checksums in build/release: linux and darwin on amd64 and arm64, or OS/ARCH...
./build.sh cross      build for every platform: linux and darwin on amd64 and arm64, windows on amd64
./build.sh python     a virtual environment with what tests need of Python: moto and aws-cli
EOF
}

build() {
	local version
	version=$(git describe --tags --always --dirty 2>/dev/null || echo unknown)
	go build -tags "${TAGS:-}" -ldflags "-s -w -X main.release=$version" -o "$binary$(go env GOEXE)" "$main"
}

# summary prints one line per package, every skipped test with its reason, and all output of a package that failed;
# what the failed tests said comes last, where it is found.
summary() {
	awk '
		{ buffer = buffer $0 "\n" }
		/^===/ { test = $3; next }
		/^[ \t]*--- SKIP/ { sub(/^[ \t]+[^ ]+\.go:[0-9]+: /, "", said[$3]); sub(/\n$/, "", said[$3]); printf "skip\t%s: %s\n", $3, said[$3]; fflush(); next }
		/^[ \t]*--- FAIL/ { failed = failed $0 "\n" said[$3]; next }
		/^[ \t]*---/ { next }
		/^[ \t]/ { said[test] = said[test] $0 "\n" }
		/^(ok|\?)[ \t]/ { print; buffer = ""; split("", said); fflush() }
		/^FAIL[ \t]/ { printf "%s", buffer; buffer = ""; split("", said); fflush() }
		END {
			if (buffer != "" && buffer !~ /^FAIL\n$/) printf "%s", buffer
			if (failed != "") printf "-- what failed:\n%s", failed
		}
	'
}

# run_tests runs go test with the given arguments.
run_tests() {
	go test -v "$@" 2>&1 | summary
}

# packages lists those of a group: pure (neither the database nor AWS's SDK linked, compiled in seconds), linked (the
# database), sdk (AWS's SDK, which takes minutes to compile: never for the race detector), or system (the real binary).
# Those that take minutes come first: the last to begin should not be one that the others have to be waited for with.
packages() {
	go list -test -f '{{if not .ForTest}}{{.ImportPath}}{{else}}{{.ForTest}}{{end}} {{join .Deps " "}}' ./... |
		awk -v want="$1" '
			$1 ~ /\.test$/ { sub(/\.test$/, "", $1) }
			{ all[$1] = 1 }
			/ modernc\.org\/sqlite/ { linked[$1] = 1 }
			/ github\.com\/aws\/aws-sdk-go-v2\/service\/ec2/ { sdk[$1] = 1 }
			END {
				split("/tests/cluster /tests/release /tests/farm /tests/sim /tests /tests/docker /tests/kill /lib/store", slow, " ")
				for (i in slow) rank[slow[i]] = i
				for (p in all) {
					group = sdk[p] ? "sdk" : linked[p] ? "linked" : "pure"
					if (p ~ /aquarium-fish\/aquarium-fish\/(tests|cmd)(\/|$)/) group = "system"
					tail = p
					sub(/^.*aquarium-fish\/aquarium-fish/, "", tail)
					if (group == want) print (tail in rank ? rank[tail] : 9), p
				}
			}
		' | sort | cut -d " " -f 2
}

# run_group runs the tests of a group, if it has packages.
run_group() {
	local group=$1 list
	shift
	list=$(packages "$group")
	if [ -z "$list" ]; then return; fi
	echo "-- $group packages${1:+ ($*)}"
	# shellcheck disable=SC2086 # one word per package
	run_tests "$@" $list
}

# test_some runs the cheapest tests first; what it leaves out tells so in a "skip" line.
test_some() {
	run_group pure -timeout 3m
	run_group linked -timeout 4m
	run_group sdk -timeout 4m
	run_group system -timeout 5m
}

# compile_races compiles tests for the race detector below the priority of others, until stop_compiling. It is a process
# group of its own, which can be ended as a whole.
compile_races() {
	local list
	list=$(packages pure && packages linked)
	set -m
	# shellcheck disable=SC2086 # one word per package
	CGO_ENABLED=1 nice -n 15 go test -race -vet=off -exec true $list >/dev/null 2>&1 &
	compiling=$!
	set +m
	trap stop_compiling EXIT
}

stop_compiling() { kill -- "-$compiling" 2>/dev/null || true; }

# test_all lets tests use root and a container engine, and looks for data races.
test_all() {
	export AQUARIUM_TEST_ALL=1
	run_group pure -timeout 10m
	echo "-- linked packages"
	# shellcheck disable=SC2046 # one word per package
	run_tests -timeout 15m $(packages linked | grep -v '/lib/store$')
	echo "-- lib/store with its crash points, which are all its tests and some more"
	run_tests -tags crashpoints -timeout 5m ./lib/store
	run_group sdk -timeout 10m
	compile_races # as what uses the real binary often waits
	run_group system -timeout 30m
	stop_compiling
	export CGO_ENABLED=1
	# On one processor: timers of a synctest bubble that fire on two at once crash the race detector (golang/go#78156).
	# What it finds follows from the order of events, not from what really ran at the same time. What go test vets it
	# has vetted above.
	run_group pure -race -short -vet=off -cpu 1 -timeout 10m
	run_group linked -race -short -vet=off -cpu 1 -timeout 20m
}

# cross compiles without optimization, which costs a third: whether it compiles is all that is asked. AWS's SDK knows no
# platforms, and takes as long as all else together: once is enough, on one that is not this one.
cross() {
	local platform
	export GOFLAGS="$GOFLAGS '-gcflags=all=-N -l'"
	for platform in linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64; do
		echo "$platform"
		# shellcheck disable=SC2046 # one word per package
		on "$platform" go build -tags noaws $(on "$platform" without_sdk '{{if .GoFiles}}{{.ImportPath}}{{end}}')
	done
	echo "darwin/arm64 with AWS's SDK"
	on darwin/arm64 go build ./cmd/... ./drivers/aws/awssdk
	for platform in darwin/arm64 windows/amd64; do # after the build only our own code is left to check
		# shellcheck disable=SC2046 # one word per package
		on "$platform" go vet -tags noaws $(on "$platform" without_sdk '{{.ImportPath}}')
	done
}

# on runs a command for a platform.
on() {
	local platform=$1
	shift
	GOOS=${platform%/*} GOARCH=${platform#*/} "$@"
}

# without_sdk lists the packages that there are without AWS's SDK.
without_sdk() { go list -tags noaws -f "$1" ./... | grep -v /drivers/aws/awssdk; }

# The versions of what tests need of Python, with which the differences of moto are listed.
moto=5.2.1
awscli=1.45.11

# suits tells whether a Python has them.
suits() {
	"$1" - "$moto" "$awscli" 2>/dev/null <<'EOF'
import sys
from importlib.metadata import version
import awscli.clidriver, moto.server
sys.exit([version("moto"), version("awscli")] != sys.argv[1:])
EOF
}

# python makes a virtual environment where drivers/drivertest/needs looks for it, unless this machine's Python or an
# earlier one will do.
python() {
	local cache=${XDG_CACHE_HOME:-$HOME/.cache} venv=${AQUARIUM_TEST_VENV:-}
	venv=${venv:-$cache/aquarium-fish/python}
	if suits "$venv/bin/python3" || suits python3; then return; fi
	rm -rf "$venv"
	python3 -m venv "$venv"
	"$venv/bin/python3" -m pip install --quiet --disable-pip-version-check --no-compile "moto[server]==$moto" "awscli==$awscli"
	if ! suits "$venv/bin/python3"; then
		echo "moto $moto and aws-cli $awscli do not start in $venv" >&2
		return 1
	fi
}

# release builds and packs what people install: the same commit and Go give the same bytes. SOURCE_DATE_EPOCH sets the
# time of the packed files, which is else that of the commit.
release() {
	local version epoch platform root
	root=$PWD
	version=$(git describe --tags --always --dirty)
	epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
	rm -rf build/release build/bin
	if [ $# -eq 0 ]; then set -- linux/amd64 linux/arm64 darwin/amd64 darwin/arm64; fi
	for platform; do
		echo "$platform"
		GOOS=${platform%/*} GOARCH=${platform#*/} go build -ldflags "-s -w -X main.release=$version" -o "build/bin/$platform" "$main"
		shift
		set -- "$@" "$platform=$root/build/bin/$platform" # in the place of what it was made of
	done
	(cd tools/release && go run . -root "$root" -out "$root/build/release" -version "$version" -epoch "$epoch" "$@")
	(cd build/release && cat SHA256SUMS)
}

# sources lists our Go files, committed or about to be.
sources() {
	git ls-files --cached --others --exclude-standard -- '*.go' | while read -r file; do
		if [ -f "$file" ]; then echo "$file"; fi
	done
}

check_format() {
	local wrong
	wrong=$(sources | xargs gofmt -l)
	if [ -n "$wrong" ]; then
		echo "not formatted, run ./build.sh fmt:" >&2
		echo "$wrong" >&2
		return 1
	fi
}

lint() {
	check_format
	go vet ./...
	PATH="$PATH:$(go env GOPATH)/bin"
	if ! command -v golangci-lint >/dev/null; then
		echo "golangci-lint is missing: go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$lint_version" >&2
		return 1
	fi
	golangci-lint run ./...
}

case "${1:-build}" in
build) build ;;
test)
	case "${2:-some}" in
	some) test_some ;;
	all) test_all ;;
	*) usage >&2 && exit 2 ;;
	esac
	;;
bench) shift && go run ./tests/bench "$@" ;;
lint) lint ;;
check-format) check_format ;;
lint-version) echo "$lint_version" ;;
fmt) sources | xargs gofmt -w ;;
generate) go generate ./openapi/... ;;
cross) cross ;;
python) python ;;
release) shift && release "$@" ;;
help | -h | --help) usage ;;
*) usage >&2 && exit 2 ;;
esac
