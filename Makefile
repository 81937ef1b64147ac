# Everything a user or a developer types. `make help` says what there is.
.PHONY: help setup demo test test-all bench docs format lint clean
.DEFAULT_GOAL := help

help:            ## Say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' Makefile

setup:           ## Fetch libtorch and compile the engine (once; a few minutes)
	@Scripts/setup

demo: setup      ## Train on the digits that come with the package, and ask how likely digits are
	@Scripts/build-tool
	@.build/tool/scorefield demo --data Data --out demo

test: setup      ## Build and run the tests
	@Scripts/test

test-all: setup  ## The tests, and those that take longer
	@SCOREFIELD_SLOW_TESTS=1 Scripts/test

bench: setup     ## Measure, against the machine's limit and against Python
	@Scripts/bench

docs: setup      ## Build the documentation into .build/docs
	@Scripts/docs

format:          ## Rewrite the sources in the one style
	@swift format --in-place --parallel --recursive Package.swift Sources Tests Examples Benchmarks

lint:            ## Check the style
	@swift format lint --strict --parallel --recursive Package.swift Sources Tests Examples Benchmarks

clean:           ## Remove what was built; the engine stays
	@rm -rf .build demo
