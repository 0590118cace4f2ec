"""The SHA-256 of the weights that every backend on every machine reaches under the reproducible arithmetic.

Made on 2026-11-23 by `equigrad compare PROBLEM --dtype DTYPE --arithmetic reproducible` with Python 3.11.7,
NumPy 2.4.6, PyTorch 2.13.0 and JAX 0.10.2 on an AMD EPYC with AVX-512; all three gave each hash.
"""

GOLDEN = {
    "one-layer": {
        "float64": "ea759685aa71f3784f3f03bace1349aec5d075db939c249806ef1f91d2770dd1",
        "float32": "83dade068d92b0319f2fe3caa719924622163c62b8389bd9d66bd24dd9afc6f5",
    },
    "two-layer": {
        "float64": "a1695a7fb49c33875a048abe79c46bc3069c7e29d198f167241f87208ac659a4",
        "float32": "c73ae02be80053fb82b417c25952ac005ca01268a1a81b8e29597079a08e3490",
    },
    "digits": {
        "float64": "d3f95fbf72d0150fcfcdd6de7abf38bc675cab5af89d25b63582a92e34ea83cf",
        "float32": "7751f30a54a92f0ed73681324400ea4ff511ef1453e6fc3081033be256262c61",
    },
}
"""By problem, with its own number of updates, learning rate and seed, and by dtype."""

EARLY = {
    "digits": (
        20,
        {
            "float64": "5fa76c8bc488a8a94ca3c4938a26b25bff343064b7e90dea889b554d1c36f234",
            "float32": "c262c14c2d053f8f2d066c8b5f3b326bb752a7ed599812fe320864b2aaf3e9d7",
        },
    ),
    "two-layer": (
        50,
        {
            "float64": "f1b80065c257a6fa936d080d936522d3df72697292db4e46170f72c3eee9d436",
            "float32": "fe5c7482bdc51f7d0929b676af05de9577d9c19fba8c0c22751cbc1e3616b9fc",
        },
    ),
}
"""After this many updates already, for places where a whole training takes too long: docs/scale.md."""
