# The commands of a working day. Everything else is CMake: `cmake --preset release` and `cmake --build build/release`.
#   make build                  the program: build/release/damask (installs missing Debian packages first)
#   make demo                   builds, then lets the embedded model answer a question about a long document
#   make test                   builds everything and runs every test
#   make asan                   the tests under address and undefined-behaviour sanitizers
#   make tsan                   the tests that start threads under the thread sanitizer
#   make clients                the openai package and the page in headless Chromium against a running server (needs npm's registry)
#   make fuzz SECONDS=60        every fuzz target for that long
#   make format, make lint      clang-format over the sources; clang-tidy over what changed
#   make install PREFIX=...     program, library, headers, CMake and pkg-config files
#   make clean
SHELL := /bin/bash
JOBS ?= $(shell nproc)
SECONDS ?= 60
PREFIX ?= /usr/local
CTEST := ctest --output-on-failure -j $(JOBS)
TSAN_TESTS := base_thread_pool_test base_file_test engine_test batching_test batching_prefix_test server_http_test
# A quarter of an hour under a sanitizer, and nothing happens in it that does not in other calibrations.
SANITIZERS_LEFT_OUT := Calibrate.ATighterLimitGivesContentHeadsMoreBlocks
# Minutes under the thread sanitizer, and no thread does in them what it does not in others.
TSAN_LEFT_OUT := $(SANITIZERS_LEFT_OUT):HeadGates.FindTheHeadsThatRetrieve:Effect.OfTheSameAttentionIsZeroAndOfAShortWindowIsNot:Calibrate.TheJointEffectOfTheReferenceModelsMaskIsBelowTheLimit:Calibrate.WithoutAnyToleranceNothingIsMasked:PoliciesForward.AnotherLayoutOfPagesGivesNearlyTheSame
space := $(subst ,, )

.PHONY: build test demo asan tsan clients fuzz format lint install clean setup setup-dev setup-clients

build: setup
	cmake --preset release -DDAMASK_BUILD_TESTS=OFF -DDAMASK_BUILD_EXAMPLES=OFF
	cmake --build build/release -j $(JOBS)

demo: build
	bash tools/demo.sh

test: setup
	cmake --preset release -DDAMASK_BUILD_TESTS=ON -DDAMASK_BUILD_EXAMPLES=ON
	cmake --build build/release -j $(JOBS)
	$(CTEST) --test-dir build/release

asan: setup
	cmake --preset asan
	cmake --build build/asan -j $(JOBS)
	GTEST_FILTER='-$(SANITIZERS_LEFT_OUT)' $(CTEST) --test-dir build/asan

tsan: setup
	cmake --preset tsan
	cmake --build build/tsan -j $(JOBS) --target $(TSAN_TESTS) server_test
	GTEST_FILTER='-$(TSAN_LEFT_OUT)' TSAN_OPTIONS='suppressions="$(CURDIR)/tests/tsan_suppressions.txt"' $(CTEST) --test-dir build/tsan -R '^($(subst $(space),|,$(TSAN_TESTS))|server_threads_test)$$'

clients: setup-clients
	cmake --preset release
	cmake --build build/release -j $(JOBS) --target damask_cli make_model
	bash tests/clients/run.sh build/release/damask build/release/make_model

fuzz: setup-dev
	cmake --preset fuzz
	cmake --build build/fuzz -j $(JOBS) --target fuzz/all
	sh fuzz/run.sh $(SECONDS) build/fuzz

format: setup-dev
	bash tools/format.sh

lint: setup-dev
	bash tools/lint.sh

install: build
	cmake --install build/release --prefix "$(PREFIX)"

clean:
	rm -rf build/release build/asan build/tsan build/fuzz

setup:
	@bash tools/setup.sh

setup-dev:
	@bash tools/setup.sh dev

setup-clients:
	@bash tools/setup.sh clients
