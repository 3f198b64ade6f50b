"""Read the tensors of a `pytorch_model.bin` without torch, and without running anything the file asks for.

Enters: a path. Leaves: float32 arrays by name, read when asked for. Never: a class or a call named by the file; the
pickle in it may build dictionaries and describe tensors, and everything else is an error.
Format: a zip (what torch.save has written since 1.6) of one pickle, `*/data.pkl`, and one raw file a storage.
"""

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tts_engine.errors import CodecError

# Storage class in the pickle -> NumPy type of one element; bfloat16, which NumPy lacks, is read as its upper half word.
_ELEMENTS = {
    "FloatStorage": "f4",
    "DoubleStorage": "f8",
    "HalfStorage": "f2",
    "BFloat16Storage": "u2",
    "LongStorage": "i8",
    "IntStorage": "i4",
}


@dataclass(frozen=True, slots=True)
class _Storage:
    """One raw file of the archive."""

    kind: str
    """A key of _ELEMENTS."""
    key: str
    """Name of the file below `data/`."""
    length: int
    """Elements in it."""


@dataclass(frozen=True, slots=True)
class _Tensor:
    """Where a tensor lies in its storage; offset, shape and strides in elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _rebuild_tensor(storage: object, offset: object, shape: object, strides: object, *_: object) -> _Tensor:
    whole = (
        isinstance(storage, _Storage)
        and isinstance(offset, int)
        and isinstance(shape, tuple)
        and isinstance(strides, tuple)
        and len(shape) == len(strides)
        and all(isinstance(number, int) and number >= 0 for number in (offset, *shape, *strides))
    )
    if not whole:
        raise pickle.UnpicklingError("a tensor that is not described by a storage and whole numbers")
    assert isinstance(storage, _Storage) and isinstance(offset, int)  # told to the type checker
    assert isinstance(shape, tuple) and isinstance(strides, tuple)
    last = offset + sum((count - 1) * stride for count, stride in zip(shape, strides, strict=True))
    if 0 not in shape and last >= storage.length:
        raise pickle.UnpicklingError(f"a tensor that reaches element {last} of a storage of {storage.length}")
    return _Tensor(storage, offset, shape, strides)


def _rebuild_parameter(tensor: object, *_: object) -> object:
    return tensor


_CALLS: dict[tuple[str, str], Callable[..., object]] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
}


class _Unpickler(pickle.Unpickler):
    """Unpickles names and descriptions of tensors; refuses every other global."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _CALLS:
            return _CALLS[module, name]
        if module == "torch" and name in _ELEMENTS:
            return name
        raise pickle.UnpicklingError(f"it names {module}.{name}, which no tensor needs")

    def persistent_load(self, pid: Any) -> _Storage:
        match pid:
            case ("storage", str(kind), str(key), str(), int(length)) if kind in _ELEMENTS:
                return _Storage(kind, key, length)
        raise pickle.UnpicklingError(f"it refers to {pid!r}, which is no storage")


class TensorFile(Mapping[str, NDArray[np.float32]]):
    """The tensors of one file, float32 and contiguous, each read from the disk when it is looked up.

    Raises CodecError, on opening or on a look-up: no zip, no tensors, damaged, or more than tensors in the pickle.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError) as exc:
            raise CodecError(
                f"{path} cannot be read as SNAC weights ({exc}). It has to be the zip file that torch.save writes; "
                "a file of a few hundred bytes is a Git LFS pointer: fetch the real one."
            ) from exc
        self._tensors = self._read_index()

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        tensor = self._tensors[name]
        try:
            raw = self._zip.read(f"{self._folder}data/{tensor.storage.key}")
        except (KeyError, zipfile.BadZipFile, OSError) as exc:
            raise CodecError(f"{self.path} is damaged at {name} ({exc}); fetch it again.") from exc
        element = np.dtype(self._byte_order + _ELEMENTS[tensor.storage.kind])
        if len(raw) < tensor.storage.length * element.itemsize:
            raise CodecError(f"{self.path} is damaged at {name}: {len(raw)} bytes are too few; fetch it again.")
        flat = np.frombuffer(raw, element)[tensor.offset :]
        strides = [stride * element.itemsize for stride in tensor.strides]
        view = np.lib.stride_tricks.as_strided(flat, tensor.shape, strides, writeable=False)
        if tensor.storage.kind == "BFloat16Storage":
            return (np.ascontiguousarray(view).astype(np.uint32) << 16).view(np.float32)
        return np.array(view, np.float32, order="C")

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def close(self) -> None:
        self._zip.close()

    def _read_index(self) -> dict[str, _Tensor]:
        try:
            names = self._zip.namelist()
            self._folder = next(name for name in names if name.endswith("data.pkl")).removesuffix("data.pkl")
            order = self._folder + "byteorder"
            self._byte_order = ">" if order in names and self._zip.read(order) == b"big" else "<"
            index = _Unpickler(io.BytesIO(self._zip.read(self._folder + "data.pkl"))).load()
        except StopIteration:
            raise CodecError(f"{self.path} is a zip without data.pkl: not what torch.save writes.") from None
        # What a pickle of the wrong form makes pickle raise; every global that could raise more was refused.
        except (pickle.UnpicklingError, zipfile.BadZipFile, EOFError, ValueError, TypeError, LookupError) as exc:
            raise CodecError(f"{self.path} is refused as SNAC weights: {exc}.") from exc
        if not isinstance(index, dict) or not all(isinstance(tensor, _Tensor) for tensor in index.values()):
            raise CodecError(f"{self.path} does not hold a dictionary of tensors (a state_dict).")
        return index
