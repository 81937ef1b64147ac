"""A counter-based generator that Swift can reproduce bit for bit: element i of stream `seed` is u(seed, i).

    z = seed + (i + 1) 0x9E3779B97F4A7C15        (mod 2^64, as everything below)
    z = (z xor z >> 30) 0xBF58476D1CE4E5B9
    z = (z xor z >> 27) 0x94D049BB133111EB
    u = ((z xor z >> 31) >> 11) 2^-53            in [0, 1)

Source: Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators" (SplitMix64).
Elements fill a shape in row-major order.  Every function is exact in float64 but `unit`, which rounds once.
"""

import numpy as np


def bits(seed, count):
    """The first `count` 64-bit words of a stream."""
    with np.errstate(over="ignore"):
        z = np.uint64(seed % 2**64) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def uniform(seed, shape):
    """Uniform on [0, 1): the multiples of 2^-53."""
    shape = tuple(np.atleast_1d(np.asarray(shape, dtype=int)))
    count = int(np.prod(shape, dtype=int))
    return ((bits(seed, count) >> np.uint64(11)).astype(np.float64) * 2.0**-53).reshape(shape)


def symmetric(seed, shape):
    """Uniform on [-1, 1): 2u - 1."""
    return 2.0 * uniform(seed, shape) - 1.0


def unit(seed, shape):
    """Uniform with mean 0 and variance 1: sqrt(3) (2u - 1)."""
    return np.sqrt(3.0) * symmetric(seed, shape)


if __name__ == "__main__":
    # The published first words of SplitMix64 with seed 0.
    assert [int(z) for z in bits(0, 3)] == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    for seed in (0, 7, 2**64 - 1):
        print(seed, *(u.hex() for u in uniform(seed, [3]).tolist()))
