"""Words: how a text is read, and what its words tell a denoiser."""

import functools

import pytest
import torch

from tincture.common.errors import InputError
from tincture.models.denoiser import Conditions, PaletteDenoiser, build_denoiser
from tincture.models.options import DenoiserConfig, UNetConfig
from tincture.models.text import LEARNED, MAX_WORDS, PADDING, UNIT, Table, TextEncoder, Vocabulary, as_bytes, table_for
from tincture.quantization.palettes.batch import PaletteBatch
from tincture.tests.models.test_denoiser import TINY, random_batch, randomize

WORDS = ["ball", "blue", "dragon", "fire", "fly", "glow", "knife", "red", "shield"]


@pytest.fixture(scope="module")
def vocabulary():
    return Vocabulary(WORDS)


def read(vocabulary, text):
    return [WORDS[row] for row in vocabulary.read(text)[0] if row != PADDING]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Red DRAGON, 02", ["red", "dragon"]),
        ("a dragon with the shield", ["dragon", "shield"]),
        ("red red dragon", ["red", "dragon"]),
        ("dragons flies knives", ["dragon", "fly", "knife"]),
        ("glowing shielded", ["glow", "shield"]),
        ("fireball", ["fire", "ball"]),
        ("", []),
        ("xyzzy", []),
    ],
)
def test_a_text_is_the_set_of_its_words_or_of_what_they_are_made_of(vocabulary, text, words):
    assert read(vocabulary, text) == words


def test_words_that_are_not_known_are_named(vocabulary):
    assert vocabulary.read("red xyzzy plugh")[1] == ("xyzzy", "plugh")


def test_a_prompt_may_be_misspelled_and_may_hold_unknown_words_but_not_only_such(vocabulary, caplog):
    assert vocabulary.understand("red dragn xyzzy") == vocabulary.read("red dragon")[0]
    assert [record.getMessage() for record in caplog.records] == [
        "'dragn' is taken for 'dragon'",
        "the model doesn't know 'xyzzy'; it is left out",
    ]
    for prompt, message in (
        ("", "says nothing"),
        (" 7, the", "says nothing"),
        ("xyzzy", "knows no word of the prompt"),
    ):
        with pytest.raises(InputError, match=message):
            vocabulary.understand(prompt)


def test_long_captions_are_cut():
    many = Vocabulary([f"word{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"])
    assert many.encode([" ".join(f"word{letter}" for letter in "zyxwvutsrqponmlkjihgfedcba")]).tolist() == [
        list(range(25, 25 - MAX_WORDS, -1))
    ]


def test_captions_bring_their_own_words_beside_those_of_the_table(tmp_path):
    path = tmp_path / "words.safetensors"
    Table.of(WORDS, torch.full((len(WORDS), 4), UNIT, dtype=torch.int8)).save(path, "nobody")
    table = table_for(str(path), ["red dragons", "zorblax", "zorblaxes fireball", "fireballs"])
    assert table.words() == [*WORDS, "zorblax"]
    assert (table.vectors[:-1] == UNIT).all()
    assert table.vectors[-1].float().std() > UNIT / 8
    assert table_for(LEARNED, ["red dragons", "a dragon"]).words() == ["dragon", "red"]


def test_vectors_that_cannot_be_read_and_pictures_without_words_are_refused(tmp_path):
    (tmp_path / "words.txt").write_text("red\n")
    for name, message in (
        ("word2vec", "none of minilm, learned and no table"),
        (str(tmp_path / "words.txt"), "no table"),
    ):
        with pytest.raises(InputError, match=message):
            table_for(name, ["red"])
    with pytest.raises(InputError, match="no picture has a caption"):
        table_for(LEARNED, ["", "7"])


def make(kind="palette", pooling="attention", **options):
    torch.manual_seed(0)
    config = DenoiserConfig(kind=kind, text=LEARNED, text_pooling=pooling, **(TINY | options))
    return randomize(build_denoiser(config, 3, 9, [" ".join(WORDS)]))


VARIANTS = pytest.mark.parametrize(
    ("kind", "pooling"), [("palette", "attention"), ("palette", "mean"), ("index", "attention")]
)


def told(model, *texts):
    return Conditions(words=model.text.vocabulary.encode(texts))


@torch.no_grad()
@VARIANTS
def test_words_matter_and_neither_their_order_nor_padding_does(kind, pooling):
    model = make(kind, pooling)
    x_t, t, palette = random_batch(2, 9)
    plain = model(x_t, t, palette)
    logits = model(x_t, t, palette, told(model, "red dragon", ""))
    assert (logits[0] - plain[0]).abs().max() > 1e-2
    torch.testing.assert_close(logits[1], plain[1], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(model(x_t, t, palette, told(model, "dragon red red", "")), logits, atol=1e-5, rtol=1e-5)
    two = Conditions(words=told(model, "red dragon", "").words[:, :2])
    torch.testing.assert_close(model(x_t, t, palette, two), logits, atol=1e-5, rtol=1e-5)
    assert (model(x_t, t, palette, told(model, "blue dragon", "")) - logits)[0].abs().max() > 1e-2


@torch.no_grad()
@pytest.mark.parametrize("pooling", ["attention", "mean"])
def test_told_words_a_denoiser_is_still_equivariant_to_its_palette(pooling):
    model = make(pooling=pooling)
    x_t, t, palette = random_batch(2, 9)
    words = told(model, "red dragon", "blue shield fire")
    logits = model(x_t, t, palette, words)
    order = torch.stack([torch.randperm(9) for _ in range(2)])  # new position → old position
    inverse = torch.cat([order.argsort(1), torch.full((2, 1), 9)], dim=1)  # the mask stays the mask
    permuted = PaletteBatch(palette.colors.gather(1, order[..., None].expand(-1, -1, 4)), palette.valid)
    shown = inverse.gather(1, x_t.flatten(1)).view_as(x_t)
    expected = logits.gather(1, order[..., None, None].expand(-1, -1, 16, 16))
    torch.testing.assert_close(model(shown, t, permuted, words), expected, atol=1e-4, rtol=1e-4)
    more = PaletteBatch(
        torch.cat([palette.colors, torch.full((2, 3, 4), 200, dtype=torch.uint8)], dim=1),
        torch.cat([palette.valid, torch.zeros(2, 3, dtype=torch.bool)], dim=1),
    )
    padded = model(x_t.where(x_t < 9, 12), t, more, words)
    torch.testing.assert_close(padded[:, :9], logits, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_the_same_word_means_other_entries_in_another_palette():
    """What a word adds to the entries' tokens depends on their colors, before any pixel is seen."""
    model = make()
    palette = random_batch(1, 9)[2]
    context = model.text(told(model, "red").words)
    added = model.palette_encoder(palette, context) - model.palette_encoder(palette)
    assert (added - added.mean(dim=1, keepdim=True)).abs().max() > 0.01


def test_a_color_word_learns_to_mean_the_entries_of_that_color_in_palettes_never_seen():
    """One pixel, one word: the network is to say the entry that the word names."""
    torch.manual_seed(0)
    unet = UNetConfig(patch_size=1, channels=(8,), blocks=(0,), attention=(False,), head_channels=8, head_blocks=1)
    config = DenoiserConfig(text=LEARNED, token_channels=32, palette_depth=2, condition_channels=16, unet=unet)
    model = build_denoiser(config, 0, 0, ["red blue"])
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    words, generator = model.text.vocabulary.encode(["red", "blue"]), torch.Generator().manual_seed(1)

    def loss(count):
        """Half of the entries are reddish, half are bluish; which of them stand first is chance."""
        colors = torch.randint(0, 80, (count, 4, 4), generator=generator, dtype=torch.uint8)
        strong = torch.randint(160, 256, (count, 4), generator=generator, dtype=torch.uint8)
        is_red = torch.rand(count, 4, generator=generator).argsort(1) < 2
        colors[..., 0] = torch.where(is_red, strong, colors[..., 0])
        colors[..., 2] = torch.where(is_red, colors[..., 2], strong)
        colors[..., 3] = 255
        palette = PaletteBatch(colors, torch.ones(count, 4, dtype=torch.bool))
        asked = torch.randint(0, 2, (count,), generator=generator)  # 0: red
        masked = torch.full((count, 1, 1), 4)
        p = model(masked, torch.ones(count), palette, Conditions(words=words[asked])).softmax(1)[..., 0, 0]
        return -(p * (is_red == (asked == 0)[:, None])).sum(1).log().mean()

    before = loss(256).item()
    for _ in range(80):
        optimizer.zero_grad()
        loss(64).backward()
        optimizer.step()
    after = loss(256).item()
    assert before > 0.4  # it guesses: -log(1 / 2) = 0.7
    assert after < 0.1


def test_captions_and_single_words_are_hidden_as_often_as_asked_for():
    model = make(text_dropout=0.25)
    count = 800
    words = told(model, *[" ".join(WORDS[:4])] * count).words
    seen = model.hide(Conditions(words=words), functools.partial(torch.rand, count)).words[:, :4]
    hidden = (seen == PADDING).all(1)
    assert 0.2 < hidden.float().mean() < 0.3
    assert 0.2 < (seen[~hidden] == PADDING).float().mean() < 0.3
    assert torch.equal(seen[seen != PADDING], words[:, :4][seen != PADDING])
    never = make(text_dropout=0.0)
    assert torch.equal(never.hide(Conditions(words=words), functools.partial(torch.rand, count)).words, words)


@torch.no_grad()
def test_vectors_of_a_table_stay_and_learned_ones_get_gradients(tmp_path):
    path = tmp_path / "words.safetensors"
    Table.of(WORDS, torch.full((len(WORDS), 4), UNIT, dtype=torch.int8)).save(path, "nobody")
    config = DenoiserConfig(text=str(path), **TINY)
    frozen = build_denoiser(config, 3, 9, ["red"])
    assert "text.vectors" not in dict(frozen.named_parameters())
    assert "text.vectors" in dict(make().named_parameters())
    assert frozen.text.vocabulary.find("dragons") == [WORDS.index("dragon")]


def test_words_are_saved_and_loaded_with_the_network(tmp_path):
    model = make()
    model.save_pretrained(tmp_path)
    loaded = PaletteDenoiser.from_pretrained(tmp_path, low_cpu_mem_usage=False)
    x_t, t, palette = random_batch(2, 9)
    with torch.no_grad():
        expected = model(x_t, t, palette, told(model, "red dragon", "shield"))
        assert torch.equal(loaded(x_t, t, palette, told(loaded, "red dragon", "shield")), expected)


def test_a_damaged_list_of_words_is_said():
    encoder = TextEncoder(8, 8, "mean", words=3, letters=5, vector_channels=4, learned=True)
    encoder.hold(Table(torch.tensor(list(b"ab\nab"), dtype=torch.uint8), torch.zeros(3, 4)))
    with pytest.raises(InputError, match="vocabulary is damaged: 2 words"):
        _ = encoder.vocabulary


def test_a_denoiser_without_words_does_not_look_at_them():
    torch.manual_seed(0)
    model = randomize(build_denoiser(DenoiserConfig(**TINY), 3, 9))
    x_t, t, palette = random_batch(2, 9)
    with torch.no_grad():
        assert torch.equal(model(x_t, t, palette, Conditions(words=torch.tensor([[0], [1]]))), model(x_t, t, palette))


def test_the_table_beside_the_network_has_small_files_many_words_and_their_meanings():
    table = Table.read("minilm")
    encoder = TextEncoder(8, 8, "mean", **TextEncoder.shape(table))
    encoder.hold(table)
    vocabulary = encoder.vocabulary
    assert len(vocabulary) > 20_000
    assert table.vectors.nbytes + table.letters.nbytes < 4e6

    def nearest(word, *others):
        return others[encoder.likeness(vocabulary.encode([word]), vocabulary.encode(others)).argmax()]

    for word, others in {
        "wyverns": ("dragon", "potion", "wall", "key"),
        "necklace": ("amulet", "axe", "snake", "tree"),
        "katana": ("sword", "shield", "fish", "tree"),
        "turquoise": ("cyan", "red", "yellow", "brown"),
        "tarantula": ("spider", "horse", "door", "gold"),
    }.items():
        assert nearest(word, *others) == others[0]


def test_a_color_word_says_its_color():
    table = Table.read("minilm")
    words = table.words()
    colors = {
        word: table.vectors[words.index(word), -4:].float() / UNIT
        for word in ("crimson", "red", "teal", "navy", "blue")
    }
    is_color, lightness, a, b = torch.stack(list(colors.values())).T
    assert (is_color == 3).all()
    assert (a[:2] > 2).all()  # crimson and red are red,
    assert a[2] < 0  # teal is greenish,
    assert (b[3:] < -1).all()  # navy and blue are blue,
    assert lightness[3] < lightness[4]  # and navy is dark
    assert (table.vectors[words.index("wyvern"), -4:] == 0).all()


@pytest.mark.parametrize("is_learned", [True, False])
def test_the_table_of_a_model_that_training_begins_with_only_grows(is_learned):
    vectors = torch.randn(2, 4) if is_learned else as_bytes(torch.randn(2, 4))
    start = Table.of(["dragon", "red"], vectors)
    grown = table_for(LEARNED, ["red wyverns", "a blue dragon"], start)
    assert grown.words() == ["dragon", "red", "blue", "wyverns"]
    assert torch.equal(grown.vectors[:2], vectors)
    assert grown.vectors.dtype == vectors.dtype
    assert table_for(LEARNED, [""], start).words() == start.words()
