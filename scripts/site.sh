#!/bin/sh
# site.sh [FOLDER]: builds the pages of docs/ as a site into FOLDER (target/book) with mdBook, and checks every link of it. Needs mdbook
# (cargo install --locked mdbook).
set -eu
cd "$(dirname "$0")/.."
folder="${1:-target/book}"
command -v mdbook >/dev/null || { echo "site: mdbook is not there; cargo install --locked mdbook installs it" >&2; exit 2; }
rm -rf "$folder"
log="$(mktemp)"
trap 'rm -f "$log"' EXIT
mkdir -p "$folder"
mdbook build -d "$(cd "$folder" && pwd)" 2>"$log"
cat "$log"
# Text that is taken for markup is missing from the page.
! grep -q WARN "$log" || { echo "site: mdbook warns (above)" >&2; exit 1; }
python3 scripts/site_links.py "$folder"
