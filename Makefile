# The verbs of Tincture: make venv, sample, demo, studio, test, test-slow, test-studio, lint.

PYTHON ?= python3
BIN := .venv/bin
DEMO := runs/demo
SPRITES := checkpoints/sprites

.PHONY: venv sample demo studio test test-slow test-studio lint clean

# All cores compile what pip would compile one by one.
venv: .venv/ready

.venv/ready: requirements.txt requirements-data.txt requirements-dev.txt requirements-app.txt requirements-evaluation.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --no-compile -r requirements.txt -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --no-compile --no-deps --no-build-isolation -r requirements-data.txt --editable .
	$(BIN)/python -m compileall -qq -j 0 .venv/lib || true # some modules are for other Pythons
	touch $@

sample: venv
	$(BIN)/python sample.py --checkpoint $(SPRITES) --num-images 32 --palette train pico-8 endesga-32 nintendo-gameboy-bgb --transparent --prompt dragon sword potion "brick wall" robe demon scroll helmet --columns 8 --output runs/sample/32 --overwrite
	$(BIN)/python sample.py --checkpoint $(SPRITES) --num-images 32 --palette train pico-8 --transparent --prompt person folder document arrow potion sword smiley mail --width 16 --height 16 --columns 16 --output runs/sample/16 --overwrite
	@echo "the pictures: runs/sample/32/sheet.png runs/sample/16/sheet.png"

demo: venv
	$(BIN)/python train.py --config configs/icons16.yaml --output $(DEMO)/model --overwrite
	$(BIN)/python sample.py --checkpoint $(DEMO)/model --num-images 64 --sampler remasking --palette heldout --output $(DEMO)/samples/heldout --overwrite
	$(BIN)/python sample.py --checkpoint $(DEMO)/model --num-images 64 --sampler remasking --palette pico-8 --transparent --output $(DEMO)/samples/pico-8 --overwrite
	$(BIN)/python sample.py --checkpoint $(DEMO)/model --num-images 64 --sampler remasking --palette docs/pictures/dusk.png --colors 15 --transparent --output $(DEMO)/samples/picture --overwrite
	@echo "the model: $(DEMO)/model"
	@echo "the pictures: $(DEMO)/samples/heldout/sheet.png $(DEMO)/samples/pico-8/sheet.png $(DEMO)/samples/picture/sheet.png"

studio: venv
	$(BIN)/python app.py --open

# A worker for each core, four at most, each with one thread of torch.
test: venv
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test-slow: venv
	$(BIN)/python -m pytest -m slow

# Needs Chromium: apt-get install chromium.
test-studio: venv
	$(BIN)/python -m pip install --quiet --no-compile "playwright>=1.55,<2"
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m browser tests/studio

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

clean:
	rm -rf .venv runs
