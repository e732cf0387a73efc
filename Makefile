# make demo   simulate a small particle set, refine it, print resolution and FSC to the truth
# make test   everything that continuous integration runs
# Both install first what is missing (make setup; make setup-build leaves out what only tests need).
# make install PREFIX=/opt/gerelion   programs, manual pages, completions, module files
# make dist       one archive with all of that for other machines, in dist/
# make site       the pages as a site, in target/book (needs mdbook)
# make evidence   docs/evidence.md, from runs of the programs
# make packages   the recipes in packaging/ checked, and built where their builders are there
# make deny       licences, sources, versions and advisories of the dependencies (needs cargo-deny, and the net for advisories)
# make bench-ci   both benchmark presets, small enough for two cores

CARGO ?= cargo
PREFIX ?= /usr/local
# Python modules for cross-checks are kept beside the sources and out of the system.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# Jobs of several processes are built in where an MPI is installed.
FEATURES = $(if $(shell command -v mpicc),--features mpi)

# What is installed is needed by what comes after it.
.NOTPARALLEL:
.PHONY: all setup setup-build build install dist demo test bench-ci options site evidence packages deny

all: setup-build build

setup:
	sh scripts/setup.sh

setup-build:
	sh scripts/setup.sh build

build:
	$(CARGO) build --release $(FEATURES)

# DESTDIR is put before PREFIX, for those who make packages.
install: build
	sh scripts/install.sh target/release "$(DESTDIR)$(PREFIX)"

dist: setup-build
	sh scripts/dist.sh

demo: setup-build build
	target/release/gerelion demo

# Formatting, lints, examples in the documentation, unit and integration tests (a small refinement from files to files is
# one of them). The last line says how many passed, failed and were skipped, and for want of what; with CI=1 nothing that
# `make setup` installs may be wanting.
test: setup
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets $(FEATURES) -- -D warnings
	$(CARGO) check --workspace
	$(CARGO) test --workspace --doc $(FEATURES)
	$(CARGO) nextest run --workspace --no-fail-fast $(FEATURES); status=$$?; \
	awk -f tests/summary.awk "$${CARGO_TARGET_DIR:-target}/nextest/default/junit.xml"; exit $$status
	sh tests/first_kernel.sh

site:
	sh scripts/site.sh

evidence: build
	sh scripts/evidence.sh

packages:
	sh scripts/packages.sh

deny:
	$(CARGO) deny check licenses bans sources
	$(CARGO) deny check advisories

bench-ci: build
	target/release/gerelion bench --preset trpv1 --n 300 --box 64
	target/release/gerelion bench --preset rag --n 300 --box 64 --job class3d

# The documentation pages of options and of errors, after a change of their tables.
options:
	UPDATE=1 $(CARGO) test --test tidy page_is_up_to_date
