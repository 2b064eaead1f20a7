"""What turns text into vectors: one of ours that needs nothing, one that comes in a package, or anyone's."""

import math
import re
import sys
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, cast
from unicodedata import normalize

from consumers.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]
    """A row for each text."""

HASHING_DIMENSIONS: Final = 512
WORDLLAMA_DIMENSIONS: Final = 256
BATCH: Final = 256
"""Texts that an embedder is given at once."""
_WORD: Final = re.compile(r"\w+")
_PART_WEIGHT: Final = 0.1
_FIRST_WIDE: Final = "\u2e80"


class Embedder(Protocol):
    name: str
    """With what its vectors depend on, e.g. the model: vectors of two names are never compared."""
    dimensions: int

    def embed(self, texts: Sequence[str]) -> "Vectors":
        """float32, one row a text; what is alike points the same way. Fit for several threads, or not: it is
        called from one.
        """
        ...


def embedder(name: str) -> Embedder:
    """`hashing`, `wordllama`, or `module:callable`, which returns an Embedder; the module may lie in the
    current folder. Raises UsageError.
    """
    if name in _BUILT_IN:
        return _BUILT_IN[name]()
    module, colon, function = name.partition(":")
    if not (module and colon and function):
        raise UsageError(f"no embedder {name!r}: there are {', '.join(_BUILT_IN)}, or say module:callable")
    if (here := str(Path.cwd())) not in sys.path:  # as it is for `python -m`, but not for a console script
        sys.path.append(here)
    try:
        found = getattr(import_module(module), function)()
    except (ImportError, AttributeError) as error:
        raise UsageError(f"the embedder {name} can't be loaded: {error}") from error
    if not (hasattr(found, "embed") and hasattr(found, "name") and hasattr(found, "dimensions")):
        raise UsageError(f"what {name} returns is no embedder: it has no name, dimensions or embed()")
    return cast("Embedder", found)


def named(name: str) -> Embedder:
    """The one whose vectors a table holds, by what the table calls it. Raises UsageError."""
    for each in _BUILT_IN.values():
        if each.name == name:
            return each()
    raise UsageError(f"the index is of the embedder {name}, which is not ours: name it by --embedder")


def embedded(embedder: Embedder, texts: Sequence[str]) -> "Vectors":
    """In batches. Raises UsageError where the embedder doesn't give what it said."""
    import numpy as np  # noqa: PLC0415  # not for commands that embed nothing

    parts = [np.zeros((0, embedder.dimensions), np.float32)]
    for start in range(0, len(texts), BATCH):
        batch = texts[start : start + BATCH]
        vectors = np.asarray(embedder.embed(batch), dtype=np.float32)
        if vectors.shape != (len(batch), embedder.dimensions) or not np.isfinite(vectors).all():
            raise UsageError(
                f"the embedder {embedder.name} gave an array of shape {vectors.shape} for {len(batch)} texts:"
                f" {embedder.dimensions} finite numbers are wanted for each"
            )
        parts.append(vectors)
    return np.concatenate(parts)


class Hashing:
    """Words and parts of words, hashed into a vector of length 1: no model, the same everywhere. Finds
    what shares words or parts of words, also in scripts without spaces.
    """

    name = f"hashing-{HASHING_DIMENSIONS}"
    dimensions = HASHING_DIMENSIONS

    def embed(self, texts: Sequence[str]) -> "Vectors":
        import numpy as np  # noqa: PLC0415

        vectors = np.zeros((len(texts), self.dimensions), np.float32)
        for vector, text in zip(vectors, texts, strict=True):
            for feature, weight in _features(text).items():
                number = zlib.crc32(feature.encode("utf-8", "replace"))
                vector[number % self.dimensions] += weight if number >> 31 else -weight
            vector[0] += not vector.any()  # of nothing, too, there is a direction
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors


def _features(text: str) -> dict[str, float]:
    text = normalize("NFKC", text).casefold()
    words = _WORD.findall(text)
    weighed: defaultdict[str, float] = defaultdict(float)
    for word in words:
        if word[0] >= _FIRST_WIDE:  # a whole sentence, maybe: its words have two letters, mostly
            for part in _parts(word, 2):
                weighed[part] += 1
        else:
            weighed[word] += 1
            for part in _parts(word, 3):
                weighed[f"#{part}"] += _PART_WEIGHT
    return {feature: math.sqrt(weight) for feature, weight in weighed.items()}


def _parts(word: str, length: int) -> Iterator[str]:
    return (word[at : at + length] for at in range(max(len(word) - length + 1, 1)))


class WordLlama:
    """Its model comes in the package: nothing is fetched. English, mostly."""

    name = f"wordllama-l2_supercat-{WORDLLAMA_DIMENSIONS}"
    dimensions = WORDLLAMA_DIMENSIONS

    def __init__(self) -> None:
        try:
            import wordllama  # noqa: PLC0415
        except ImportError:
            raise UsageError("the embedder wordllama is not installed: pip install wordllama") from None
        # its tokenizer, which is in the package as the weights are, it looks for in the cache only
        package = Path(wordllama.__file__).parent
        self._model = wordllama.WordLlama.load(dim=self.dimensions, cache_dir=package, disable_download=True)

    def embed(self, texts: Sequence[str]) -> "Vectors":
        return cast("Vectors", self._model.embed(list(texts), norm=True))


_BUILT_IN: Final[dict[str, type[Hashing | WordLlama]]] = {"hashing": Hashing, "wordllama": WordLlama}
