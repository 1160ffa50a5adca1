# The long run: a natsd under random load and misfortune, each delivery judged.
# tests/wire/34_judge.py is a short form of it for check.

EXTRA_DIST += \
	%D%/chaos.py \
	%D%/clients.py \
	%D%/judge.py \
	%D%/network.py \
	%D%/play.py \
	%D%/rude.py \
	%D%/soak.py

# Variables: SOAK=8h, SOAK_SEED=TEXT, SOAK_WORKERS=4, SOAK_FLAGS="--pace 1".
SOAK = 10m
soak: natsd
	NATSD='$(abs_builddir)/natsd' PYTHONDONTWRITEBYTECODE=1 \
	$(PYTHON) $(srcdir)/%D%/soak.py --time '$(SOAK)' \
	    $${SOAK_SEED:+--seed "$$SOAK_SEED"} \
	    $${SOAK_WORKERS:+--workers "$$SOAK_WORKERS"} $(SOAK_FLAGS)
.PHONY: soak
