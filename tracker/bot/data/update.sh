#!/bin/sh
# Fetches the newest crawler-user-agents from npm into this directory. Run it with
# `go generate ./tracker/bot`, then `go test ./tracker/bot`: the tests tell when a new pattern takes a
# person for a machine, and agents.json is where such a pattern is left out, with the reason.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
npm pack --silent crawler-user-agents >/dev/null
tar -xzf crawler-user-agents-*.tgz
cp package/crawler-user-agents.json "$here/crawler-user-agents.json"
cp package/LICENSE "$here/crawler-user-agents.LICENSE"
sed -n 's/^ *"version": "\(.*\)",$/\1/p' package/package.json >"$here/crawler-user-agents.version"
