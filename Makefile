# Two commands on a fresh machine; each does all of its own set-up, once:
#   make demo    run the whole chain on simulated data     QUICK=1  a small form of it     OUT=folder  where it writes
#   make test    run the tests                             ARGS="-k grid -x"  what pytest is told besides
#   make bench   speed and memory, an hour or two    ARGS="--quick"  some minutes; "--list", "--only affinity", "--keep"
#   make sample-model  the models in sample_data anew
# Set-up:  TORCH=cpu (or cu126, ...)  that build of torch from download.pytorch.org; left empty, the one on PyPI
#          PYTHON=python3.12          the Python, 3.11 or newer, that .venv is made with
# Both are read when .venv is made; `make clean` and start again to choose anew. Works with GNU make 3.81 and later.

PYTHON ?= python3
TORCH ?=
QUICK ?=
OUT ?= cscl-demo
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check

# What Qt and OpenGL load on Linux, as Debian package:library. Libraries are looked for, since packages get renamed.
LIBRARIES := libegl1:libEGL.so.1 libgl1:libGL.so.1 libglib2.0-0:libglib-2.0.so.0 libdbus-1-3:libdbus-1.so.3 \
  libfontconfig1:libfontconfig.so.1 libxkbcommon-x11-0:libxkbcommon-x11.so.0 libxcb-cursor0:libxcb-cursor.so.0 \
  libxcb-icccm4:libxcb-icccm.so.4 libxcb-keysyms1:libxcb-keysyms.so.1 libxcb-shape0:libxcb-shape.so.0

.PHONY: demo test bench sample-model lint format system clean

demo: $(READY)
	$(BIN)/cscl demo --overwrite $(if $(QUICK),--quick) "$(OUT)"
	@[ -z "$$DISPLAY$$WAYLAND_DISPLAY" ] || $(BIN)/napari sample_data/season "$(OUT)/prediction" --plugin napari-cscl --with napari-cscl CSCL

# Without a display the windows of the tests open on a virtual one. Tests run side by side, each with one thread: numba,
# which napari draws labels with, would give torch back all cores, and threads that wait for each other would fill them.
test: $(READY)
	@export OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1; set -- $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadgroup --no-loadscope-reorder $(ARGS); \
	if [ -z "$$DISPLAY$$WAYLAND_DISPLAY" ] && command -v xvfb-run >/dev/null; then \
	  set -- xvfb-run -a -s "-screen 0 1600x1000x24" "$$@"; fi; \
	"$$@"

# Speed and memory, side by side with naive forms and compared with what was kept: docs/speed.md says how to read it.
bench: $(READY)
	@$(BIN)/python tests/benchmarks/bench.py $(ARGS)

# The two models in sample_data, from the season there; two minutes on one core. They change a little with torch.
SEASON := sample_data/season
SAMPLE := --class-column crop --name-column crop_name --legend $(SEASON)/legend.csv --device cpu --overwrite
sample-model: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/cscl pretrain $(SEASON) $(SEASON)/parcels.gpkg sample_data/model-pretrained $(SAMPLE) \
	  --set model.num_features=8 --set pretrain.steps=200 --set pretrain.ema=0.98
	OMP_NUM_THREADS=1 $(BIN)/cscl train $(SEASON) $(SEASON)/parcels.gpkg sample_data/model $(SAMPLE) \
	  --start sample_data/model-pretrained --set train.joint_weight=0.2 --set train.steps=400 --set train.ema=0.98

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name one, as in: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@$(MAKE) --no-print-directory system
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@echo "Installing torch into $(VENV)"
	@$(PIP) install -c constraints.txt torch $(if $(TORCH),--extra-index-url https://download.pytorch.org/whl/$(TORCH))
	@echo "Installing the project and the rest of what it needs; this takes a minute or two"
	@$(PIP) install -q -c constraints.txt -e '.[dev]'
	@touch $@

# On Debian and Ubuntu: install what is missing, or say what to type. Elsewhere Qt's libraries are there or pip brings them.
system:
	@[ -e /etc/debian_version ] || exit 0; \
	have=$$(PATH="$$PATH:/usr/sbin:/sbin" ldconfig -p); missing=; \
	for pair in $(LIBRARIES); do \
	  case "$$have" in *"$${pair#*:} "*) ;; *) missing="$$missing $${pair%%:*}" ;; esac; done; \
	command -v xvfb-run >/dev/null || missing="$$missing xvfb xauth"; \
	$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || missing="$$missing python3-venv"; \
	[ -n "$$missing" ] || exit 0; \
	line="apt-get update && apt-get install -y --no-install-recommends$$missing"; \
	echo "System libraries are missing; installing them: $$line"; \
	if [ "$$(id -u)" = 0 ]; then sh -c "$$line" >/dev/null; else sudo sh -c "$$line" >/dev/null; fi || \
	  { echo "That did not work here. Type this line, then make again:"; echo "  su -c '$$line'"; exit 1; }

clean:
	rm -rf $(VENV)
