"""The judge: histograms of gradients, and the directions in which people differ."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from likeness.cli.identity import Identity, identity, shards
from likeness.cli.judge import Judge, chosen, judge
from likeness.data import identities
from likeness.encoders.backbones import build
from likeness.encoders.backbones.gradients import BINS, COLOUR
from likeness.encoders.recognition import small
from likeness.errors import AssetError, UsageError
from likeness.train.discriminant import discriminants
from likeness.train.order import TrainingError
from likeness.train.settings import Settings


def ramp(angle, slope=0.02, size=64):
    """A grey picture (1, 3, S, S) that brightens towards an angle from +x to +y."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    bright = slope * ((x - 32) * np.cos(angle) + (y - 32) * np.sin(angle))
    return bright[None, None].expand(1, 3, size, size).float()


@pytest.mark.parametrize("bin", [0, 2, 5, 8])
def test_a_ramp_falls_into_the_bin_of_its_angle_from_either_side(bin):
    network = build("gradients", 64)
    for turned in (0.0, np.pi):
        histogram = network(ramp(bin * np.pi / BINS + turned))[0, : 8 * 8 * BINS].reshape(BINS, 8, 8)
        assert (histogram[bin] >= histogram.amax(0)).all() and (histogram[bin] > histogram.amin(0)).all()
        angle = torch.arange(BINS) * (2 * np.pi / BINS)  # an orientation turns twice as fast
        middle = torch.atan2((histogram.sum((1, 2)) * angle.sin()).sum(), (histogram.sum((1, 2)) * angle.cos()).sum())
        assert abs(float(torch.sin((middle - angle[bin]) / 2))) < 1e-3


def test_contrast_changes_histograms_hardly_and_brightness_not_at_all():
    network, image = (
        build("gradients", 64),
        torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1,
    )
    shapes = [network(picture)[0, : 8 * 8 * BINS] for picture in (image, 2 * image, image + 0.4)]
    assert float((shapes[1] - shapes[0]).abs().max()) < 0.01
    torch.testing.assert_close(shapes[2], shapes[0], atol=1e-4, rtol=0)


def test_colours_are_means_of_tiles():
    image = torch.rand(2, 3, 64, 64)
    colours = build("gradients", 64)(image)[:, 8 * 8 * BINS :].reshape(2, 3, 8, 8)
    torch.testing.assert_close(colours[1, 2, 3, 4], image[1, 2, 24:32, 32:40].mean() * COLOUR / 4)


def test_gradients_pass_and_odd_sizes_are_refused():
    image = torch.rand(1, 3, 32, 32, dtype=torch.float64, requires_grad=True)
    network = build("gradients", 32).double()
    assert torch.autograd.gradcheck(lambda x: network(x)[:, ::37], (image,), eps=1e-6, atol=1e-4)
    with pytest.raises(UsageError, match="100"):
        build("gradients", 100)


def crowd(people=300, shots=6, noise=(1.0, 3.0, 0.5, 1.0), spread=(2.0, 0.1, 0.1, 3.0)):
    random = np.random.default_rng(0)
    who = np.repeat(np.arange(people), shots)
    means = random.normal(size=(people, 4)) * spread
    return means[who] + random.normal(size=(len(who), 4)) * noise + 5, who


def test_directions_are_those_in_which_people_differ_by_how_much_is_their_own():
    vectors, who = crowd()
    directions, mean = discriminants(vectors, who, 2, 1e-9)
    best = np.abs(directions) / np.linalg.norm(directions, axis=0)
    assert best[3, 1] > 0.98 and best[0, 0] > 0.98  # 3 / 1, then 2 / 1
    np.testing.assert_allclose(mean, 5, atol=0.5)
    noise = np.random.default_rng(1).normal(size=(9999, 4)) * (1.0, 3.0, 0.5, 1.0)
    np.testing.assert_allclose((noise @ directions).var(0), [4 / 5, 9 / 10], atol=0.08)


def test_a_ridge_takes_weight_from_what_hardly_varies():
    vectors, who = crowd(noise=(1.0, 1.0, 1.0, 1e-4), spread=(1.0, 1.0, 1.0, 1e-2))
    plain, careful = (np.abs(discriminants(vectors, who, 1, ridge)[0][:, 0]) for ridge in (1e-12, 0.1))
    assert plain.argmax() == 3 and careful[3] < 0.1 * careful.max()


def test_people_with_one_picture_count_for_nothing_and_nobody_is_refused():
    vectors, who = crowd(20)
    more = np.concatenate([vectors, 1e3 * np.ones((3, 4))]), np.concatenate([who, [91, 92, 93]])
    for one, two in zip(discriminants(vectors, who, 2, 0.1), discriminants(*more, 2, 0.1)):
        np.testing.assert_allclose(np.abs(one), np.abs(two))
    with pytest.raises(ValueError, match="two pictures"):
        discriminants(vectors, np.arange(len(vectors)), 2, 0.1)


def shard(folder: Path, name: str, people=8):
    """People who are patterns, with a photo and five renders each, on which lie other patterns, as strong and the same for all."""
    random, rows = np.random.default_rng(3), []
    own, others = (np.kron(random.normal(0, 25, (n, 8, 8, 3)), np.ones((1, 16, 16, 1))) for n in (people, 3))
    for person in range(people):
        for shot in range(6):
            light = np.tensordot(random.normal(0, 1.2, 3), others, 1)
            picture = np.clip(128 + own[person] + light + random.normal(0, 4, (128, 128, 3)), 0, 255)
            rows.append(
                identities.Row(picture.astype(np.uint8), person, identities.MODEL if shot else identities.PHOTO)
            )
    identities.write(folder / f"{name}-00000.npz", identities.packed(rows))
    return folder / f"{name}-00000.npz"


def test_a_judge_is_written_that_knows_people_and_says_what_it_may_be_used_for(tmp_path):
    paths = (shard(tmp_path, "sfhq"), shard(tmp_path, "video_frames"))
    judge(Judge(tmp_path / "judge.safetensors", paths, 48, 6))
    found = small.load(tmp_path / "judge.safetensors")
    assert found.name == "judge" and found.licence.startswith("research only") and "video_frames" in found.licence
    album = identities.read(paths[:1])
    crops = np.stack([identities.middle(album.picture(i), 48) for i in range(len(album))])
    vectors = found(torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255).numpy()
    alike, same = vectors @ vectors.T, album.people[:, None] == album.people
    assert alike[same].mean() > alike[~same].mean() + 0.5


def test_all_photos_are_taken_and_renders_up_to_the_limit(tmp_path):
    album = identities.read([shard(tmp_path, "a")])
    for shots in (1, 3):
        rows = chosen(album, shots, np.random.default_rng(0))
        assert (np.bincount(album.people[rows]) == shots).all() and (album.kinds[rows] == identities.PHOTO).sum() == 8
    album.kinds[:] = identities.PHOTO
    assert len(chosen(album, 2, np.random.default_rng(0))) == len(album)


def test_a_network_is_trained_and_written_from_the_command_line(tmp_path):
    path = shard(tmp_path, "sfhq")
    config = Identity(
        tmp_path / "run", (tmp_path,), "mobilenetv3-small", 40, 8, (3, 3), name="tiny", export=tmp_path / "tiny.safetensors",
        settings=Settings(batch=4, workers=0, warmup=1, average=0.9, save_every=100),
    )  # fmt: skip
    assert shards((tmp_path,)) == [path]
    identity(config)
    found = small.load(tmp_path / "tiny.safetensors")
    assert (found.name, found.size, found.features) == ("tiny", 40, 8) and found.licence.startswith("Apache-2.0")
    assert "sfhq" in found.licence and found(torch.rand(2, 3, 40, 40)).isfinite().all()
    with pytest.raises(TrainingError, match="begun with photos 0.65, now 0.5"):
        identity(replace(config, photos=0.5))
    with pytest.raises(AssetError, match="no shards"):
        shards((tmp_path / "run/nothing", tmp_path / "run"))
