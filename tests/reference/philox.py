"""The random numbers of a run as remora-checkpoint(5) has them, written from that page and from
Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3" (Philox4x32-10)."""

import numpy

INIT = 1
PERMUTATION = 4
ADAPTER = 7
RESET = 8
SKETCH = 9

LOW = numpy.uint64(0xFFFFFFFF)
HALF = numpy.uint64(32)


def stream(purpose, tensor, other):
    return purpose << 56 | tensor << 28 | other


def words(seed, stream_number, count):
    """Two 64-bit words for each of the indices 0 … count - 1."""
    index = numpy.arange(count, dtype=numpy.uint64)
    c0, c1 = index & LOW, index >> HALF
    c2 = numpy.full(count, stream_number & 0xFFFFFFFF, numpy.uint64)
    c3 = numpy.full(count, stream_number >> 32, numpy.uint64)
    key0, key1 = seed & 0xFFFFFFFF, seed >> 32
    for _ in range(10):
        product0 = numpy.uint64(0xD2511F53) * c0
        product1 = numpy.uint64(0xCD9E8D57) * c2
        c0 = product1 >> HALF ^ c1 ^ numpy.uint64(key0)
        c1 = product1 & LOW
        c2 = product0 >> HALF ^ c3 ^ numpy.uint64(key1)
        c3 = product0 & LOW
        key0 = (key0 + 0x9E3779B9) & 0xFFFFFFFF
        key1 = (key1 + 0xBB67AE85) & 0xFFFFFFFF
    return c1 << HALF | c0, c3 << HALF | c2


def fraction(word):
    """In [0, 1), from the top 53 bits."""
    return (word >> numpy.uint64(11)).astype(float) * 2.0**-53


def uniform(seed, stream_number, count):
    return fraction(words(seed, stream_number, count)[0])


def normal(seed, stream_number, count):
    """Box & Muller 1958."""
    first, second = words(seed, stream_number, count)
    radius = numpy.sqrt(-2.0 * numpy.log(fraction(first) + 2.0**-53))
    return radius * numpy.cos(2.0 * numpy.pi * fraction(second))


def quick_normal(seed, stream_number, count):
    """Four of a block's words are two pairs of Box & Muller's, from the top 24 bits of each word."""
    pairs = numpy.stack(words(seed, stream_number, -(-count // 4)), axis=1)
    first, second = (((half >> numpy.uint64(8)).astype(float)) for half in (pairs & LOW, pairs >> HALF))
    radius = numpy.sqrt(-2.0 * numpy.log((first + 1.0) * 2.0**-24))
    angle = 2.0 * numpy.pi * (second * 2.0**-24 - 0.5)
    values = numpy.stack([radius * numpy.cos(angle), radius * numpy.sin(angle)], axis=-1)
    return values.reshape(-1)[:count]


def permutation(seed, stream_number, count):
    """Knuth's shuffle, from the last place to the second."""
    draws = words(seed, stream_number, count)[0]
    order = list(range(count))
    for place in range(count - 1, 0, -1):
        other = int(draws[place]) * (place + 1) >> 64
        order[place], order[other] = order[other], order[place]
    return order


class Draws:
    """What is drawn for one tensor."""

    def __init__(self, seed, tensor):
        self.seed = seed
        self.tensor = tensor

    def initial(self, shape, deviation):
        """A matrix of the model before any training."""
        count = shape[0] * shape[1]
        values = quick_normal(self.seed, stream(INIT, self.tensor, 0), count)
        return (deviation * values).reshape(shape).astype(numpy.float32)

    def kaiming(self, shape, cycle):
        """He et al. 2015 with a = √5, as PyTorch initialises linear layers: ±1/√columns."""
        bound = shape[1] ** -0.5
        values = uniform(self.seed, stream(ADAPTER, self.tensor, cycle), shape[0] * shape[1])
        return (bound * (2.0 * values - 1.0)).reshape(shape).astype(numpy.float32)

    def orthonormal_rows(self, shape, cycle):
        """The Q of a normal matrix, with R's diagonal positive, which makes it unique."""
        values = normal(self.seed, stream(ADAPTER, self.tensor, cycle), shape[0] * shape[1])
        q, r = numpy.linalg.qr(values.reshape(shape).T)
        return (q * numpy.sign(numpy.diag(r))).T.astype(numpy.float32)

    def orders(self, d, k, cycle):
        """Of the columns and of the rows."""
        return (permutation(self.seed, stream(PERMUTATION, self.tensor, 2 * cycle), k),
                permutation(self.seed, stream(PERMUTATION, self.tensor, 2 * cycle + 1), d))

    def kept(self, count, ratio, cycle):
        """Which moments a random reset keeps."""
        return uniform(self.seed, stream(RESET, self.tensor, cycle), count) >= ratio


def sketch_matrix(seed, linear, rows, columns):
    values = normal(seed, stream(SKETCH, linear, 0), rows * columns)
    return values.reshape(rows, columns).astype(numpy.float32)
