# Benchmarks; see docs/benchmarks.md. ARGS is handed on: make bench ARGS="--only imap".
.PHONY: bench bench-quick bench-micro

bench: $(VENV)/.runtime  ## Postino beside Debian's Postfix and Dovecot (at most 25 minutes)
	$(BIN)/python -m bench $(ARGS)

bench-quick: $(VENV)/.runtime  ## The same with less of everything (2-3 minutes)
	$(BIN)/python -m bench --quick $(ARGS)

bench-micro: $(VENV)/.runtime  ## Microseconds of the hot pure functions
	$(BIN)/python -m bench.micro $(ARGS)
