"""Training goes on from an exported file: same answers, norms that fit the pictures, other files refused."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from likeness.encoders.finder import FinderNetwork
from likeness.errors import AssetError
from likeness.train.export_finder import export
from likeness.train.takeover import take_over


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finder whose norms have seen something, and its exported file."""
    torch.manual_seed(3)
    network = FinderNetwork()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.3)
        for _ in range(20):
            network(_pictures(4))
    path = tmp_path_factory.mktemp("finder") / "finder.onnx"
    export(network, path, 0.4, ("sfhq",))
    return network.eval(), path


def _pictures(count: int) -> torch.Tensor:
    coarse = torch.randint(0, 256, (count, 3, 16, 16)).float()
    return nn.functional.interpolate(coarse, (96, 96), mode="bilinear").permute(0, 2, 3, 1).to(torch.uint8)


def test_network_answers_as_the_file_and_its_norms_fit_the_pictures(trained):
    network, path = trained
    torch.manual_seed(5)
    images, fresh = _pictures(6), FinderNetwork()
    take_over(path, fresh, images)
    with torch.no_grad():
        for mine, its in zip(fresh.eval()(images), network(images)):
            assert (mine - its).abs().max() < 1e-3 * its.abs().max()
        for mine, its in zip(
            fresh.train()(images), network(images)
        ):  # statistics of the batch are those that were kept
            assert (mine - its).abs().max() < 2e-2 * its.abs().max()


@pytest.mark.parametrize("kind", ["missing", "damaged"])
def test_files_that_are_none_are_refused(trained, tmp_path, kind):
    path = tmp_path / "other.onnx"
    if kind == "damaged":
        path.write_bytes(trained[1].read_bytes()[:3000])
    with pytest.raises(AssetError, match="not an ONNX file"):
        take_over(path, FinderNetwork(), _pictures(2))


def test_another_network_is_refused(trained):
    with pytest.raises(AssetError, match="not those of FinderNetwork"):
        take_over(trained[1], FinderNetwork(neck=32), _pictures(2))
