"""The training side: labels follow pixels, one step lowers the loss, the exported network is the trained one."""

import lzma
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from triage_models.training.augmentation import Batch, Strength, distort, frame, mixed  # noqa: E402  # after the skip
from triage_models.training.export import export_onnx  # noqa: E402  # after the skip
from triage_models.training.fit import Average, loss_of  # noqa: E402  # after the skip
from triage_models.training.network import Exported, SliceNetwork, Widths, Windows  # noqa: E402  # after the skip

SMALL = Widths(stem=8, quarter=8, eighth=16, sixteenth=16)


def a_batch(n: int = 4, size: int = 64) -> Batch:
    g = torch.Generator().manual_seed(0)
    images = torch.full((n, 80, 80), 30.0)
    masks = torch.zeros((n, 80, 80), dtype=torch.uint8)
    images[: n // 2, 30:45, 30:45], masks[: n // 2, 30:45, 30:45] = 70.0, 2
    boxes = torch.tensor([[5.0, 75.0, 5.0, 75.0]]).repeat(n, 1)
    return frame(images, masks, boxes, size, 0.03, Strength(0, 0, 0, 0), g)


def test_labels_and_fractions_follow_the_mask() -> None:
    batch = a_batch()
    assert batch.labels[:, 0].tolist() == [1, 1, 0, 0]
    assert batch.labels[0].tolist() == [1, 0, 1, 0, 0, 0]
    assert batch.fractions[0, 1].max() == 1
    assert batch.fractions[2].max() == 0


def test_a_bleed_cropped_away_is_no_bleed() -> None:
    g = torch.Generator().manual_seed(0)
    images, masks = torch.full((1, 80, 80), 30.0), torch.zeros((1, 80, 80), dtype=torch.uint8)
    masks[0, 2:12, 2:12] = 5
    beside = frame(images, masks, torch.tensor([[40.0, 75.0, 40.0, 75.0]]), 64, 0.0, Strength(0, 0, 0, 0), g)
    assert beside.labels.sum() == 0


def test_distortion_stays_in_the_window_and_is_seeded() -> None:
    batch = a_batch()
    one, other = (distort(batch.hu, Strength(), torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(one, other)
    assert one.min() >= 0
    assert one.max() <= 80


def test_mixing_keeps_labels_with_their_pixels() -> None:
    out = mixed(a_batch(), Strength(mixing=1.0), torch.Generator().manual_seed(1))
    assert ((out.labels >= 0) & (out.labels <= 1)).all()
    assert (out.labels[:, 0] >= out.labels[:, 2] - 1e-6).all()


def test_windows_see_nothing_outside_the_brain_window() -> None:
    full = torch.tensor([-1000.0, -50.0, 0.0, 30.0, 80.0, 1500.0]).reshape(1, 1, 1, 6).repeat(1, 1, 8, 1)
    assert torch.equal(Windows()(full), Windows()(full.clamp(0, 80)))


def test_a_few_steps_lower_the_loss() -> None:
    torch.manual_seed(0)
    network, batch = SliceNetwork(SMALL), a_batch()
    average = Average(network, 0.9)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(12):
        loss = loss_of(network(batch.hu), batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        average.update(network)
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("count", [0, 3])
def test_a_mean_is_over_one_network_or_two(count: int) -> None:
    with pytest.raises(ValueError, match=f"one network or two, not {count}"):
        Exported([SliceNetwork(SMALL) for _ in range(count)])


def test_the_exported_network_is_the_trained_one(tmp_path: Path) -> None:
    import onnxruntime

    torch.manual_seed(0)
    network = SliceNetwork(SMALL).eval()
    export_onnx([network], 64, tmp_path)
    session = onnxruntime.InferenceSession(
        lzma.decompress((tmp_path / "network.onnx.xz").read_bytes()), providers=["CPUExecutionProvider"]
    )
    batch = np.random.default_rng(0).uniform(0, 80, (3, 1, 64, 64)).astype(np.float32)
    logits, segmentation, embedding = session.run(None, {"hu": batch})
    assert (logits.shape, segmentation.shape, embedding.shape) == ((3, 6), (3, 5, 16, 16), (3, 24))
    flipped = session.run(None, {"hu": np.ascontiguousarray(batch[:, :, :, ::-1])})[0]
    assert np.allclose(logits, flipped, atol=1e-4)
