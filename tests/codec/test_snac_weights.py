"""Reading a SNAC model without torch: every way it is written, and every way it can be broken."""

import json
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.codec.snac_models import model
from tests.support import tiny_snac
from tts_engine.codec.snac_weights import read_config, read_weights
from tts_engine.codec.tensor_file import TensorFile
from tts_engine.errors import CodecError

StateDict = dict[str, torch.Tensor]
UP = "decoder.model.2.block.1"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A copy of the small model that a test may break."""
    for file in model("small").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


def rewrite(directory: Path, change: Callable[[StateDict], Any]) -> None:
    """Change the tensors in place, or return what to save instead."""
    path = directory / "pytorch_model.bin"
    tensors = torch.load(path, weights_only=True)
    torch.save(change(tensors) or tensors, path)


def set_config(directory: Path, **fields: Any) -> None:
    path = directory / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **fields}), "utf-8")


def test_weights_are_those_of_the_stock_model_with_their_norm_folded_in(directory: Path) -> None:
    stock = tiny_snac.load(directory)
    weights = read_weights(directory)
    block, stock_block = weights.blocks[1], stock.decoder.model[3].block
    assert np.allclose(block.up_weight, stock_block[1].weight.detach(), atol=1e-6)
    assert np.array_equal(block.up_bias, stock_block[1].bias.detach())
    assert np.array_equal(block.snake, stock_block[0].alpha.detach().flatten())
    unit, stock_unit = block.units[2], stock_block[5].block
    assert unit.dilation == 9
    assert np.allclose(unit.taps.weight, stock_unit[1].weight.detach(), atol=1e-6)
    assert np.allclose(unit.point.weight, stock_unit[3].weight.detach(), atol=1e-6)
    assert np.array_equal(weights.codebooks[2], stock.quantizer.quantizers[2].codebook.weight.detach())


def old_names(tensors: StateDict) -> StateDict:
    """Before torch 2.0 weight_norm wrote weight_g and weight_v."""
    renamed = {}
    for name, tensor in tensors.items():
        name = name.replace("parametrizations.weight.original0", "weight_g")
        renamed[name.replace("parametrizations.weight.original1", "weight_v")] = tensor
    return renamed


def no_norm(tensors: StateDict) -> StateDict:
    """As after remove_weight_norm."""
    plain = {}
    for name, tensor in tensors.items():
        base, norm, part = name.partition("parametrizations.weight.original")
        if not norm:
            plain[name] = tensor
        elif part == "1":
            plain[base + "weight"] = torch._weight_norm(tensor, tensors[f"{base}{norm}0"], 0)
    return plain


def strided(tensors: StateDict) -> StateDict:
    """Transposed in memory."""
    return {name: tensor.mT.contiguous().mT if tensor.ndim > 1 else tensor for name, tensor in tensors.items()}


def parameters(tensors: StateDict) -> OrderedDict[str, torch.nn.Parameter]:
    return OrderedDict((name, torch.nn.Parameter(tensor)) for name, tensor in tensors.items())


@pytest.mark.parametrize("form", [old_names, no_norm, strided, parameters])
def test_every_way_of_writing_the_same_weights_reads_the_same(
    form: Callable[[StateDict], Any], directory: Path
) -> None:
    before = read_weights(directory)
    rewrite(directory, form)
    after = read_weights(directory)
    assert np.allclose(after.blocks[0].up_weight, before.blocks[0].up_weight, atol=1e-6)
    assert np.allclose(after.tail.weight, before.tail.weight, atol=1e-6)
    assert np.array_equal(after.codebooks, before.codebooks)
    assert np.array_equal(after.projection_bias, before.projection_bias)


@pytest.mark.parametrize(("kind", "error"), [(torch.float16, 2e-3), (torch.bfloat16, 1e-2), (torch.float64, 1e-6)])
def test_other_float_types_are_read(kind: torch.dtype, error: float, directory: Path) -> None:
    before = read_weights(directory)
    rewrite(directory, lambda tensors: {name: tensor.to(kind) for name, tensor in tensors.items()})
    after = read_weights(directory)
    assert after.blocks[0].up_weight.dtype == np.float32
    assert np.abs(after.blocks[0].up_weight - before.blocks[0].up_weight).max() < error
    assert np.allclose(after.codebooks, before.codebooks, rtol=1e-2)


def test_views_into_one_storage_are_read(tmp_path: Path) -> None:
    whole = torch.arange(24.0)
    torch.save({"a": whole[4:16].view(3, 4).T, "b": whole[20:], "none": whole[:0]}, tmp_path / "t.bin")
    file = TensorFile(tmp_path / "t.bin")
    assert np.array_equal(file["a"], np.arange(4.0, 16).reshape(3, 4).T)
    assert file["b"].tolist() == [20, 21, 22, 23]
    assert file["none"].shape == (0,)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("attn_window_size", 32),
        ("codebook_size", 1024),
        ("vq_strides", [8, 4, 2, 1]),
        ("vq_strides", [1, 2, 4]),
        ("decoder_rates", [8, 8, 4, 0]),
        ("decoder_rates", []),
        ("decoder_rates", "8842"),
        ("decoder_dim", 100),
        ("decoder_dim", None),
        ("sampling_rate", -1),
        ("codebook_dim", 0),
        ("latent_dim", 0.5),
        ("noise", "yes"),
        ("depthwise", 1),
    ],
)
def test_a_config_that_cannot_be_decoded_names_the_field_and_the_value(field: str, value: Any, directory: Path) -> None:
    set_config(directory, **{field: value})
    with pytest.raises(CodecError) as error:
        read_weights(directory)
    assert f"{field} = {json.dumps(value)}" in error.value.message
    assert "config.json" in error.value.message


def test_a_config_without_attn_window_size_means_attention(directory: Path) -> None:
    path = directory / "config.json"
    fields = json.loads(path.read_text("utf-8"))
    del fields["attn_window_size"]
    path.write_text(json.dumps(fields), "utf-8")
    with pytest.raises(CodecError, match="attn_window_size"):
        read_config(directory)


@pytest.mark.parametrize("text", ["", "[]", "{", "\xff"])
def test_a_config_that_is_no_object_names_the_file(text: str, directory: Path) -> None:
    (directory / "config.json").write_text(text, "latin-1")
    with pytest.raises(CodecError, match=r"config\.json"):
        read_config(directory)


def drop(tensors: StateDict) -> None:
    del tensors[f"{UP}.bias"]


def shrink(tensors: StateDict) -> None:
    tensors[f"{UP}.bias"] = tensors[f"{UP}.bias"][1:]


def spoil(tensors: StateDict) -> None:
    tensors[f"{UP}.bias"][0] = torch.nan


@pytest.mark.parametrize(
    ("change", "message"), [(drop, "has no"), (shrink, r"shape \(31,\).* \(32,\)"), (spoil, "not finite")]
)
def test_a_bad_tensor_names_the_file_and_the_key(
    change: Callable[[StateDict], None], message: str, directory: Path
) -> None:
    rewrite(directory, change)
    with pytest.raises(CodecError, match=message) as error:
        read_weights(directory)
    assert "pytorch_model.bin" in error.value.message and f"{UP}.bias" in error.value.message


def zeros(tensors: StateDict) -> None:
    tensors[f"{UP}.parametrizations.weight.original1"][0] = 0


def test_a_weight_without_direction_names_its_key(directory: Path) -> None:
    rewrite(directory, zeros)
    with pytest.raises(CodecError, match=f"{UP}.parametrizations.weight.original1 has a row of zeros"):
        read_weights(directory)


@pytest.mark.parametrize("content", [b"", b"version https://git-lfs.github.com/spec/v1\n", b"\x80\x02}q\x00."])
def test_a_file_that_is_no_zip_is_refused(content: bytes, directory: Path) -> None:
    (directory / "pytorch_model.bin").write_bytes(content)
    with pytest.raises(CodecError, match=r"pytorch_model\.bin cannot be read .*LFS"):
        read_weights(directory)


@pytest.mark.parametrize("part", [0.3, 0.9])
def test_half_a_file_is_refused(part: float, directory: Path) -> None:
    path = directory / "pytorch_model.bin"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(CodecError, match=r"pytorch_model\.bin"):
        read_weights(directory)


def test_a_flipped_bit_is_found(directory: Path) -> None:
    path = directory / "pytorch_model.bin"
    with zipfile.ZipFile(path) as archive:
        largest = max(archive.infolist(), key=lambda entry: entry.file_size)  # a codebook or the first upsampling
    content = bytearray(path.read_bytes())
    content[largest.header_offset + 5000] ^= 1
    path.write_bytes(content)
    with pytest.raises(CodecError, match="damaged"):
        TensorFile(path)[next(name for name, tensor in TensorFile(path)._tensors.items() if _lies_in(tensor, largest))]


def _lies_in(tensor: Any, entry: zipfile.ZipInfo) -> bool:
    return entry.filename.endswith(f"data/{tensor.storage.key}")


class Evil:
    """Pickled, it asks for a call."""

    def __init__(self, call: Callable[..., Any], *arguments: Any) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call, self.arguments


def write_archive(path: Path, content: Any) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(content, protocol=2))


def test_a_pickle_that_asks_for_a_call_is_refused_and_nothing_runs(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    write_archive(tmp_path / "evil.bin", {"a": Evil(Path.touch, trace)})
    with pytest.raises(CodecError, match="refused"):
        TensorFile(tmp_path / "evil.bin")
    assert not trace.exists()


@pytest.mark.parametrize(
    "content",
    [
        [1, 2],
        {"a": 1},
        {"a": Evil(torch._utils._rebuild_tensor_v2, 1, 2, 3, 4, False, None)},
        {"a": Evil(eval, "1")},
        {"a": Evil(OrderedDict, 5)},
    ],
)
def test_a_pickle_of_something_else_is_refused(content: Any, tmp_path: Path) -> None:
    write_archive(tmp_path / "t.bin", content)
    with pytest.raises(CodecError, match=r"t\.bin"):
        TensorFile(tmp_path / "t.bin")


def test_a_zip_of_something_else_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "t.bin", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(CodecError, match=r"without data\.pkl"):
        TensorFile(tmp_path / "t.bin")


def test_a_tensor_that_reaches_past_its_storage_is_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.arange(4.0)}, tmp_path / "good.bin")
    with zipfile.ZipFile(tmp_path / "good.bin") as good, zipfile.ZipFile(tmp_path / "bad.bin", "w") as bad:
        for name in good.namelist():
            content = good.read(name)
            if name.endswith("data.pkl"):
                assert content.count(b"K\x04") == 2  # the storage's length, the tensor's shape
                content = content[::-1].replace(b"\x04K", b"\x05K", 1)[::-1]
            bad.writestr(name, content)
    with pytest.raises(CodecError, match="reaches element 4 of a storage of 4"):
        TensorFile(tmp_path / "bad.bin")
