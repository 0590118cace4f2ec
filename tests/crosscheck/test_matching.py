"""A module's parameters are matched with those of its port, in whatever way the port is nested and names them."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from equigrad.crosscheck.matching import matched
from length import at_length

SQUARE = np.zeros((3, 3))
STYLES = ("list", "tuples", "numbered", "flax", "haiku", "equinox", "flat")
NAMES = {
    "linear": ("Dense", "linear"),
    "conv": ("Conv", "conv2_d"),
    "norm": ("LayerNorm", "layer_norm"),
    "embedding": ("Embed", "embed"),
}
ROLES = {
    "flax": {"linear": ("kernel", "bias"), "norm": ("scale", "bias"), "embedding": ("embedding",)},
    "haiku": {"linear": ("w", "b"), "norm": ("scale", "offset"), "embedding": ("embeddings",)},
    "equinox": {"linear": ("weight", "bias"), "norm": ("weight", "bias"), "embedding": ("weight",)},
}


def layers(draw: random.Random) -> list[tuple[str, list[tuple[int, ...]]]]:
    """A network's layers: (their kind, the shapes of weight and bias in PyTorch)."""
    square, last = draw.random() < 0.5, 4
    found: list[tuple[str, list[tuple[int, ...]]]] = []
    if draw.random() < 0.3:
        found.append(("embedding", [(7, last)]))
    for _ in range(draw.randint(1, 15)):
        width = last if square else draw.choice((3, 4, 5))
        if draw.random() < 0.2:
            size = draw.choice((1, 3))
            found.append(("conv", [(width, last, size, size), (width,)]))
        else:
            found.append(("linear", [(width, last), (width,)][: draw.choice((1, 2, 2, 2, 2))]))
        if draw.random() < 0.3:
            found.append(("norm", [(width,), (width,)]))
        last = width
    return found


def port(style: str, kind: str, of_kind: int, index: int, part: int) -> str:
    """The leaf that is weight (0) or bias (1) of a layer, given its place among those of its kind, and among all."""
    roles = ROLES[style if style in ROLES else "haiku"]
    role = roles["linear" if kind == "conv" else kind][part]
    if style == "list":
        return f"parameters['layers'][{index}]['{role}']"
    if style == "tuples":
        return f"parameters[{2 * index}][{part}]"
    if style == "numbered":
        return f"parameters['layer{index + 1}']['{role}']"
    if style == "flax":
        return f"parameters['params']['{NAMES[kind][0]}_{of_kind}']['{role}']"
    if style == "haiku":
        return f"parameters['net/~/{NAMES[kind][1]}{f'_{of_kind}' if of_kind else ''}']['{role}']"
    if style == "equinox":
        return f"parameters.layers[{index}].{role}"
    return f"parameters['{'Wb'[part]}{index}']"


def case(style: str, seed: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, tuple[str, Any]]]:
    """(the module's state, the port's parameters, which tensor and order of its axes each of these is)."""
    draw = random.Random(f"{style} {seed}")
    name = draw.choice(("{2}", "layers.{0}.fc", "{1}{3}", "net.{1}_{3}", "layers.{0}.{1}"))
    net, counts, gap = layers(draw), dict.fromkeys(NAMES, 0), draw.choice((1, 2))
    state: dict[str, np.ndarray] = {}
    learned: dict[str, np.ndarray] = {}
    truth: dict[str, tuple[str, Any]] = {}
    for i, (kind, shapes) in enumerate(net):
        for part, shape in enumerate(shapes):
            layer = name.format(i, {"linear": "fc"}.get(kind, kind), gap * i, counts[kind] + 1)
            tensor = f"{layer}.{('weight', 'bias')[part]}"
            as_it_is = style == "equinox" or kind == "embedding" or len(shape) == 1
            axes = tuple(range(len(shape))) if as_it_is else (*range(2, len(shape)), 1, 0)
            leaf = port(style, kind, counts[kind], i, part)
            state[tensor], learned[leaf] = np.zeros(shape), np.zeros([shape[a] for a in axes])
            truth[leaf] = tensor, axes
        counts[kind] += 1
    shuffled = [*learned]
    if style in ("numbered", "flax", "flat"):
        draw.shuffle(shuffled)
    return state, {leaf: learned[leaf] for leaf in shuffled}, truth


@pytest.mark.parametrize("style", STYLES)
def test_every_leaf_of_a_port_is_the_tensor_that_it_was_written_for_in_the_style_of(style: str) -> None:
    for seed in range(at_length(40, short=15)):
        state, learned, truth = case(style, seed)
        for match in matched(state, learned, {}):
            name, axes = truth[match.leaf]
            assert match.name == name, (seed, match)
            assert match.axes == axes or axes in match.rivals, (seed, match)


PROJECTIONS = [f"{layer}.{part}" for layer in ("q_proj", "k_proj", "v_proj", "out_proj") for part in ("weight", "bias")]
NUMBERED = [f"{layer}.{part}" for layer in (0, 2, 4) for part in ("weight", "bias")]
BLOCKS = [f"blocks.{i}.{layer}.weight" for i in range(3) for layer in ("attn.q", "attn.k", "mlp.fc1", "mlp.fc2")]
STATISTICS = [f"bn{i}.{part}" for i in (1, 2) for part in ("weight", "bias", "running_mean", "running_var")]
ABOUT_SQUARES: dict[str, tuple[list[str], dict[str, str], list[tuple[Any, ...]]]] = {
    "attention sorted as JAX sorts": (
        PROJECTIONS,
        {"['{0}']['bias']": "{1}_proj.bias", "['{0}']['kernel']": "{1}_proj.weight"},
        [("key", "k"), ("out", "out"), ("query", "q"), ("value", "v")],
    ),
    "attention by letters": (
        PROJECTIONS,
        {"['W{0}']": "{1}_proj.weight", "['b{0}']": "{1}_proj.bias"},
        [("k", "k"), ("o", "out"), ("v", "v"), ("q", "q")],
    ),
    "attention by letters after an underscore": (
        PROJECTIONS,
        {"['b_{0}']": "{1}_proj.bias", "['w_{0}']": "{1}_proj.weight"},
        [("o", "out"), ("k", "k"), ("v", "v"), ("q", "q")],
    ),
    "lists of weights and of biases": (
        NUMBERED,
        {"['biases'][{0}]": "{1}.bias", "['weights'][{0}]": "{1}.weight"},
        [(0, 0), (1, 2), (2, 4)],
    ),
    "one list of everything": (
        NUMBERED,
        {"[{0}]": "{1}.weight", "[{2}]": "{1}.bias"},
        [(0, 0, 1), (2, 2, 3), (4, 4, 5)],
    ),
    "layers from the last to the first": (
        NUMBERED,
        {"['l{0}']['b']": "{1}.bias", "['l{0}']['w']": "{1}.weight"},
        [(10, 4), (9, 2), (1, 0)],
    ),
    "a decoder before its encoder": (
        ["enc.weight", "enc.bias", "dec.weight", "dec.bias"],
        {"['{0}oder']['kernel']": "{0}.weight", "['{0}oder']['bias']": "{0}.bias"},
        [("dec",), ("enc",)],
    ),
    "words cut short": (
        ["attn.weight", "mlp.weight"],
        {"['{0}']['w']": "{1}.weight"},
        [("feedforward", "mlp"), ("attention", "attn")],
    ),
    "convolutions that are numbered by their dimensions too": (
        ["conv1.weight", "conv2.weight"],
        {"['{0}']['w']": "{1}.weight"},
        [("conv2_d", "conv1"), ("conv2_d_1", "conv2")],
    ),
    "layers without a word for their parameter": (
        ["layers.0.ln.weight", "norm.weight", "head.weight"],
        {"{0}": "{1}.weight"},
        [("['layers'][0]['ffn_norm']", "layers.0.ln"), ("['norm']", "norm"), ("['output']", "head")],
    ),
    "blocks inside of layers": (
        BLOCKS,
        {"['mlp']['{1}'][{0}]": "blocks.{0}.mlp.{1}.weight", "['attn']['{2}'][{0}]": "blocks.{0}.attn.{2}.weight"},
        [(i, *names) for names in (("fc2", "k"), ("fc1", "q")) for i in (2, 0, 1)],
    ),
    "blocks in any order": (
        BLOCKS,
        {
            "['block_{0}']['attention']['{1}']": "blocks.{0}.attn.{2}.weight",
            "['block_{0}']['mlp']['{3}']": "blocks.{0}.mlp.{3}.weight",
        },
        [(i, *names) for i in (2, 0, 1) for names in (("key", "k", "fc1"), ("query", "q", "fc2"))],
    ),
    "batch norm with its statistics elsewhere": (
        STATISTICS,
        {
            "['batch_stats']['BatchNorm_{0}']['mean']": "bn{1}.running_mean",
            "['batch_stats']['BatchNorm_{0}']['var']": "bn{1}.running_var",
            "['params']['BatchNorm_{0}']['bias']": "bn{1}.bias",
            "['params']['BatchNorm_{0}']['scale']": "bn{1}.weight",
        },
        [(1, 2), (0, 1)],
    ),
}


@pytest.mark.parametrize("which", ABOUT_SQUARES)
def test_parameters_of_one_shape_are_told_apart_by_words_and_numbers_in(which: str) -> None:
    names, patterns, fillings = ABOUT_SQUARES[which]
    written = {f"parameters{a.format(*f)}": b.format(*f) for a, b in patterns.items() for f in fillings}
    found = matched(dict.fromkeys(names, SQUARE), dict.fromkeys(written, SQUARE), {})
    assert {match.leaf: match.name for match in found} == written


def test_layers_that_were_copied_have_the_same_values_and_are_told_apart_by_their_numbers() -> None:
    square = np.arange(4.0).reshape(2, 2)
    found = matched({"0.w": square, "1.w": square}, {"parameters['b2']": square, "parameters['b1']": square}, {})
    assert [str(match) for match in found] == [
        "parameters['b2'] is 1.w, by values",
        "parameters['b1'] is 0.w, by values",
    ]


def test_a_mapping_of_one_parameter_tells_whose_its_siblings_are() -> None:
    state = {f"{layer}.{part}": SQUARE for layer in "ab" for part in ("weight", "bias")}
    learned = {f"parameters[{i}]['{part}']": SQUARE for i in (0, 1) for part in "wb"}
    found = matched(state, learned, {"b.weight": "[0]['w']"})
    assert [match.name for match in found] == ["b.weight", "b.bias", "a.weight", "a.bias"]


def test_a_flat_dictionary_of_layers_and_norms_is_told_apart_by_what_belongs_to_which_matrix() -> None:
    state = {f"{i}.{part}": SQUARE[0] for i in range(4) for part in ("weight", "bias")}
    state |= {"0.weight": SQUARE, "2.weight": SQUARE}
    parts = {"beta": (1, "bias"), "b": (0, "bias"), "g": (1, "weight"), "W": (0, "weight")}
    written = {f"parameters['{p}{i}']": f"{2 * i - 2 + k}.{name}" for i in (2, 1) for p, (k, name) in parts.items()}
    found = matched(state, {leaf: state[name] for leaf, name in written.items()}, {})
    assert {match.leaf: match.name for match in found} == written


def test_matrices_are_turned_alike_where_they_could_be_one_another() -> None:
    wide = np.zeros((2, 3))
    state = {"w1": wide, "w2": wide.T, "w3": wide}
    found = matched(state, {f"parameters['{n}']": v for n, v in (("gate", wide.T), ("up", wide.T), ("down", wide))}, {})
    assert [(match.name, match.transposed) for match in found] == [("w1", True), ("w3", True), ("w2", True)]


def test_a_layer_without_a_bias_is_the_one_that_has_none() -> None:
    state = {"0.weight": SQUARE, "0.bias": SQUARE[0], "1.weight": SQUARE}
    learned = {"parameters['x']['w']": SQUARE, "parameters['y']['w']": SQUARE, "parameters['y']['b']": SQUARE[0]}
    assert [match.name for match in matched(state, learned, {})] == ["1.weight", "0.weight", "0.bias"]


def test_kernels_that_are_as_in_the_module_tell_of_a_square_one() -> None:
    state = {"0.weight": np.zeros((3, 4)), "0.bias": SQUARE[0], "1.weight": SQUARE, "1.bias": SQUARE[0]}
    learned = {
        f"parameters[{i}]['{p}']": state[f"{i}.{n}"] for i in (0, 1) for p, n in (("kernel", "weight"), ("b", "bias"))
    }
    assert not any(match.transposed for match in matched(state, learned, {}))


def test_a_norm_with_and_one_without_statistics_are_told_apart_by_what_they_lack() -> None:
    state = {f"0.{part}": SQUARE[0] for part in ("weight", "bias", "running_mean", "running_var")}
    state |= {f"1.{part}": SQUARE[0] for part in ("weight", "bias")}
    norms = {"['Layer']": ("scale", "bias"), "['Batch']": ("scale", "bias", "mean", "var")}
    found = matched(state, {f"parameters{n}['{p}']": SQUARE[0] for n, parts in norms.items() for p in parts}, {})
    assert [match.name for match in found] == [
        "1.weight",
        "1.bias",
        "0.weight",
        "0.bias",
        "0.running_mean",
        "0.running_var",
    ]


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 3])
def test_a_kernel_of_a_convolution_has_its_channels_last_whatever_its_sizes(ndim: int, size: int) -> None:
    weight = np.zeros((3, 3, *[size] * ndim))
    (match,) = matched({"weight": weight}, {"parameters['kernel']": np.zeros((*[size] * ndim, 3, 3))}, {})
    assert (match.axes, match.rivals) == ((*range(2, ndim + 2), 1, 0), ())


@pytest.mark.parametrize("word", ["embedding", "embeddings"])
def test_a_square_embedding_is_as_it_is_whatever_the_kernels_are(word: str) -> None:
    state = {"emb.weight": SQUARE, "fc.weight": np.zeros((5, 3))}
    learned = {f"parameters['emb']['{word}']": SQUARE, "parameters['fc']['kernel']": np.zeros((3, 5))}
    embedding, kernel = matched(state, learned, {})
    assert (embedding.axes, embedding.rivals) == ((0, 1), ())
    assert kernel.transposed


def test_where_only_other_leaves_tell_how_a_square_one_is_turned_both_ways_are_tried() -> None:
    state = {"wpe.weight": SQUARE, "fc.weight": np.zeros((5, 3))}
    position, _ = matched(state, {"parameters['wpe']": SQUARE, "parameters['fc']": np.zeros((3, 5))}, {})
    assert (position.axes, set(position.rivals)) == ((1, 0), {(0, 1), (1, 0)})


def test_of_long_paths_the_word_that_differs_decides_whatever_the_embeddings_say() -> None:
    tensors = ("x.block.0.layer.1.dense.wi.weight", "x.block.0.layer.1.dense.wo.weight")
    kernels = (
        "['x']['block']['0']['layer']['1']['dense']['wi']['kernel']",
        "['x']['block']['0']['layer']['1']['dense']['wo']['kernel']",
    )
    state = {tensors[0]: np.zeros((4, 3)), tensors[1]: np.zeros((3, 4))}
    learned = {f"parameters{kernels[0]}": np.zeros((3, 4)), f"parameters{kernels[1]}": np.zeros((4, 3))}
    for i in range(3):
        state[f"embed{i}.weight"] = learned[f"parameters['embed{i}']['embedding']"] = np.zeros((5 + i, 3))
    found = {match.leaf: match for match in matched(state, learned, {})}
    for tensor, kernel in zip(tensors, kernels, strict=True):
        assert found[f"parameters{kernel}"].name == tensor
        assert found[f"parameters{kernel}"].transposed


def test_an_axis_of_heads_is_split_as_attention_kernels_have_it() -> None:
    layers = ("query", "key", "value", "out")
    state = {f"{n}.{p}": np.zeros((6, 6) if p == "weight" else 6) for n in layers for p in ("weight", "bias")}
    learned = {f"parameters['{n}']['kernel']": np.zeros((2, 3, 6) if n == "out" else (6, 2, 3)) for n in layers}
    learned |= {f"parameters['{n}']['bias']": np.zeros(6 if n == "out" else (2, 3)) for n in layers}
    for match in matched(state, learned, {}):
        layer = match.leaf.split("'")[1]
        assert match.name == f"{layer}.{'weight' if 'kernel' in match.leaf else 'bias'}"
        assert match.axes == ((1, 0) if "kernel" in match.leaf else (0,))
        assert match.rivals == ()
