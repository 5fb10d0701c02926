"""Published weights for the backbones of trainings, from the command line: taken, kept, exported, refused."""

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from published_networks import mobilenet, resnet

from likeness.assets import builtin
from likeness.cli.backbone import fill
from likeness.cli.identity import Identity, identity, take_backbone
from likeness.cli.tewari2018 import Tewari2018, make, start, tewari2018
from likeness.cli.trained import Made, tewari_recipe
from likeness.data import identities
from likeness.encoders.backbones.mobilenet import SMALL
from likeness.encoders.pretrained import NOTICE
from likeness.encoders.recognition import small
from likeness.errors import AssetError, UsageError
from likeness.runtime.systems.card import Graph
from likeness.train import checkpoint, loop
from likeness.train.export_system import TewariGraph
from likeness.train.settings import Settings

TAKEN = "published.pth: 206 tensors taken; not used: classifier.0, classifier.3\n"
SETTINGS = Settings(batch=2, workers=0, warmup=1, average=0.5, save_every=100, optimizer="adam")


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "published.pth"
    torch.save(dict(mobilenet(SMALL, 1024)), path)
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A photo set of four patterns with the landmarks of the mean face."""
    root, random = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    (root / "photos/sfhq").mkdir(parents=True)
    model, names = builtin.load(), [f"{k}1.jpg" for k in range(4)]
    points = model.topology().landmarks["dense"].points(model.mean) * [1, -1, 1] * 0.6 + [128, 128, 0]
    for name in names:
        picture = np.kron(random.integers(0, 256, (16, 16, 3)), np.ones((16, 16, 1))).astype(np.uint8)
        cv2.imwrite(str(root / "photos/sfhq" / name), picture)
    np.savez(
        root / "photos/sfhq.landmarks478.npz", name=np.array(names), points=np.stack([points] * 4).astype(np.float16)
    )
    return root


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """A shard of four people who are patterns."""
    random, rows = np.random.default_rng(1), []
    for person in range(4):
        for shot in range(3):
            picture = np.kron(random.integers(0, 256, (16, 16, 3)), np.ones((8, 8, 1))).astype(np.uint8)
            rows.append(identities.Row(picture, person, identities.MODEL if shot else identities.PHOTO))
    folder = tmp_path_factory.mktemp("people")
    identities.write(folder / "sfhq-00000.npz", identities.packed(rows))
    return folder


def run(data, output, **options):
    """A short training of tewari2018."""
    tewari2018(Tewari2018(output, data, ("sfhq",), backbone="mobilenetv3-small", codes=4, chart=8, base_steps=2, steps=0,
                          settings=SETTINGS, **options))  # fmt: skip
    return output / loop.CHECKPOINT


@pytest.fixture(scope="module")
def trained(data, published, tmp_path_factory):
    """A run of two steps that began with published weights."""
    return run(data, tmp_path_factory.mktemp("run"), backbone_weights=published)


def tiny(people, output, **options):
    """A short training of an identity network."""
    identity(Identity(output, (people,), "mobilenetv3-small", 64, 8, (1, 1), settings=SETTINGS, **options))
    return output / loop.CHECKPOINT


def test_a_training_says_in_a_line_what_it_took_and_begins_there(data, published, tmp_path, capsys):
    path = run(data, tmp_path, backbone_weights=published, rate=0.0, stop=1)
    assert TAKEN in capsys.readouterr().out
    kept, state = checkpoint.load(path)[0], torch.load(published)
    for ours, theirs in (("stem.0.0.weight", "features.0.0.weight"), ("widen.0.1.bias", "features.12.1.bias")):
        assert torch.equal(kept[f"weights.network.backbone.{ours}"], state[theirs])


def test_a_resumed_run_needs_the_file_no_more_and_ends_with_the_same_weights(
    data, published, trained, tmp_path, capsys
):
    run(data, tmp_path, backbone_weights=published, stop=1)
    capsys.readouterr()
    run(data, tmp_path, backbone_weights=tmp_path / "deleted.pth", stop=0)
    path = run(data, tmp_path)
    assert "taken" not in capsys.readouterr().out
    (found, state), (expected, _) = checkpoint.load(path), checkpoint.load(trained)
    assert state["step"] == 2 and found.keys() == expected.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    assert "average.network.backbone.input.factor" in found


def test_the_exported_system_and_the_measured_recipe_answer_what_was_trained(data, trained, tmp_path):
    run(data, trained.parent, export=tmp_path / "system.onnx", export_only=True)
    recipe = tewari_recipe(trained, Made(backbone="mobilenetv3-small"))
    assert recipe.network.backbone.input.used
    graph, image = Graph(tmp_path / "system.onnx"), np.random.default_rng(2).integers(0, 256, (128, 128, 3), np.uint8)
    ask = TewariGraph(recipe.network, recipe.model, 128).eval()
    with torch.no_grad():
        true = ask(torch.from_numpy(image)[None])[0].numpy()
        recipe.network.backbone.input.used = False
        without = ask(torch.from_numpy(image)[None])[0].numpy()
    found = graph(image)["identity"]  # of 8-bit weights
    assert np.abs(found - true).max() < 0.4 * np.abs(without - true).max()
    assert NOTICE in graph.card.licence


def test_an_exported_identity_network_answers_what_was_trained(people, published, tmp_path, capsys):
    path = tiny(people, tmp_path / "run", backbone_weights=published, stop=1)
    assert TAKEN in capsys.readouterr().out
    tiny(people, tmp_path / "run", export=tmp_path / "tiny.safetensors")
    found, image = small.load(tmp_path / "tiny.safetensors"), torch.rand(2, 3, 64, 64)
    network = small.IdentityNetwork("mobilenetv3-small", 64, 8)
    network.load_state_dict(checkpoint.strip(checkpoint.load(path)[0], "average.network."))
    assert network.backbone.input.used and NOTICE in found.licence
    with torch.no_grad():
        expected = network.eval()(image)
        network.backbone.input.used = False
        without = network(image)
    expected, without = (torch.nn.functional.normalize(answer) for answer in (expected, without))
    off = (found(image) - expected).abs().max()  # matrices are in half precision
    assert off < 0.02 and off < 0.1 * (without - expected).abs().max()


def test_without_the_option_files_are_as_they_were_and_say_nothing(people, data, tmp_path):
    tiny(people, tmp_path, export=tmp_path / "tiny.safetensors")
    found = small.load(tmp_path / "tiny.safetensors")
    assert not any(".input." in name for name in found.state_dict()) and NOTICE not in found.licence


def test_a_run_that_starts_with_such_a_run_takes_its_input_over(trained):
    torch.manual_seed(1)
    recipe = make(backbone="mobilenetv3-small", codes=4, chart=8)
    network = small.IdentityNetwork("mobilenetv3-small", 64, 8)
    start(recipe, trained)
    take_backbone(network, trained)
    shift = checkpoint.load(trained)[0]["average.network.backbone.input.shift"]
    for backbone in (recipe.network.backbone, network.backbone):
        assert backbone.input.used and torch.equal(backbone.input.shift, shift)


def test_what_does_not_go_together_is_refused_in_a_line(people, data, published, trained, tmp_path):
    with pytest.raises(UsageError, match="--start and --backbone-weights both"):
        run(data, tmp_path / "a", backbone_weights=published, start=trained)
    with pytest.raises(UsageError, match="--start and --backbone-weights both"):
        tiny(people, tmp_path / "a", backbone_weights=published, start=trained)
    tiny(people, tmp_path / "b", stop=1)
    with pytest.raises(UsageError, match="b/checkpoint.safetensors: began without --backbone-weights"):
        tiny(people, tmp_path / "b", backbone_weights=published)
    torch.save(dict(resnet((2, 2, 2, 2), (3, 3))), tmp_path / "resnet.pth")
    with pytest.raises(AssetError, match="no weights of a MobileNetV3Small"):
        tiny(people, tmp_path / "c", backbone_weights=tmp_path / "resnet.pth")
    with pytest.raises(AssetError, match="no such file"):
        tiny(people, tmp_path / "c", backbone_weights=tmp_path / "nothing.pth")


def test_the_network_that_knows_places_says_what_it_keeps(published, tmp_path, capsys):
    network = small.IdentityNetwork("mobilenet-places", 64, 8)
    fill(network, published, None, tmp_path)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.endswith("not in it: narrow.0.0, narrow.0.1, top.0") and network.backbone.input.used


def test_a_damaged_checkpoint_is_left_to_the_one_before(people, published, tmp_path):
    path = tiny(people, tmp_path, backbone_weights=published, stop=1)
    checkpoint.previous(path).write_bytes(path.read_bytes())
    path.write_bytes(path.read_bytes()[:-9])
    assert "weights.network.backbone.input.factor" in checkpoint.names(path)
    tiny(people, tmp_path, backbone_weights=published)
    assert checkpoint.load(path)[1]["step"] == 2
