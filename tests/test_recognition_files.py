"""Weight files of public recognition networks: files with their true names are read, others are refused by name."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from likeness.encoders.recognition import arcface, facenet, templates, vggface
from likeness.encoders.recognition.load import load
from likeness.errors import AssetError, UsageError

FACENET = {
    "conv2d_1a.conv.weight": (32, 3, 3, 3), "conv2d_2b.bn.running_var": (64,), "conv2d_4b.conv.weight": (256, 192, 3, 3),
    "repeat_1.4.branch2.2.conv.weight": (32, 32, 3, 3), "repeat_1.0.conv2d.weight": (256, 96, 1, 1),
    "mixed_6a.branch0.bn.weight": (384,), "mixed_6a.branch1.2.conv.weight": (256, 192, 3, 3),
    "repeat_2.9.branch1.1.conv.weight": (128, 128, 1, 7), "repeat_2.0.branch1.2.conv.weight": (128, 128, 7, 1),
    "mixed_7a.branch2.2.conv.weight": (256, 256, 3, 3), "repeat_3.4.branch0.bn.bias": (192,), "block8.conv2d.bias": (1792,),
    "last_linear.weight": (512, 1792), "last_bn.running_mean": (512,),
}  # fmt: skip
ARCFACE = {
    "conv1.weight": (64, 3, 3, 3), "prelu.weight": (64,), "layer1.0.bn1.weight": (64,), "layer1.0.downsample.0.weight": (64, 64, 1, 1),
    "layer2.0.downsample.1.running_mean": (128,), "layer3.0.prelu.weight": (256,), "layer4.1.conv2.weight": (512, 512, 3, 3),
    "layer4.1.bn3.bias": (512,), "bn2.weight": (512,), "fc.weight": (512, 25088), "fc.bias": (512,), "features.running_var": (512,),
}  # fmt: skip
"""Some names and shapes of the published files, as their authors' code gives them."""
PARAMETERS = {
    "facenet": (facenet.InceptionResnetV1, 23_482_624), "r18": (lambda: arcface.IResNet((2, 2, 2, 2)), 24_025_600),
    "r100": (lambda: arcface.IResNet((3, 13, 30, 3)), 65_156_160),
    "vggface": (vggface.VggFace, 145_002_878 - 2622 * 4097),  # without the classifier
}  # fmt: skip


def _weights(network, seed=0):
    """A state dict of the network with weights that keep the signal's size, in half precision."""
    random = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, value in network.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        noise = torch.randn(value.shape, generator=random)
        fan = value[0].numel() if value.ndim > 1 else 1
        tensors[name] = (
            noise * (2 / fan) ** 0.5 if value.ndim > 1 else 0.1 * noise + (not name.endswith(("bias", "mean")))
        )
    return {name: value.half() for name, value in tensors.items()}


def _filled(network, tensors):
    network.load_state_dict({name: value.float() for name, value in tensors.items()}, strict=False)
    return network.eval()


def _agree(recognition, network, prepare, size):
    image = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(1))
    image[0, :, : size // 2] *= 0.2
    with torch.no_grad():
        expected = torch.nn.functional.normalize(network(prepare(255 * image)))
        found = recognition(image)
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)
    assert (found[0] - found[1]).norm() > 0.01, "both pictures give one answer"


@pytest.mark.parametrize("name", PARAMETERS)
def test_architectures_have_the_published_number_of_parameters(name):
    make, count = PARAMETERS[name]
    with torch.device("meta"):
        assert sum(p.numel() for p in make().parameters()) == count


@pytest.mark.parametrize("make, names", [(facenet.InceptionResnetV1, FACENET), (PARAMETERS["r18"][0], ARCFACE)])
def test_parts_bear_the_published_names(make, names):
    with torch.device("meta"):
        own = {name: tuple(value.shape) for name, value in make().state_dict().items()}
    assert {name: own.get(name) for name in names} == names


def test_facenet_is_read(tmp_path):
    tensors = _weights(facenet.InceptionResnetV1(8))
    path = tmp_path / "20180402-114759-vggface2.pt"
    torch.save(tensors | {"logits.weight": torch.zeros(4, 8), "logits.bias": torch.zeros(4)}, path)
    found = load("facenet", path)
    assert (found.name, found.size, found.features) == ("FaceNet", 160, 8)
    _agree(found, _filled(facenet.InceptionResnetV1(8), tensors), lambda image: (image - 127.5) / 128, 160)


@pytest.mark.parametrize("part, scale, active", [
    ("repeat_1", 0.17, True), ("repeat_2", 0.10, True), ("repeat_3", 0.20, True), ("block8", 1.0, False),
])  # fmt: skip
def test_facenet_adds_scaled_branches(part, scale, active):
    """By the published factors: with branches that answer one everywhere, a block adds its factor; the last lets negative
    numbers through."""
    blocks = getattr(facenet.InceptionResnetV1(8).eval(), part)
    block = blocks if part == "block8" else blocks[-1]
    torch.nn.init.zeros_(block.conv2d.weight)
    torch.nn.init.ones_(block.conv2d.bias)
    maps = torch.randn(1, block.conv2d.out_channels, 3, 3)
    torch.testing.assert_close(block(maps), torch.relu(maps + scale) if active else maps + scale)


def test_arcface_is_read_and_its_depth_comes_from_the_file(tmp_path):
    tensors = _weights(arcface.IResNet((1, 2, 1, 1), 8))
    path = tmp_path / "backbone.pth"
    torch.save({"state_dict": {f"module.{name}": value for name, value in tensors.items()}}, path)
    found = load("arcface", path)
    assert (found.name, found.size, found.features) == ("ArcFace r12", 112, 8)
    np.testing.assert_allclose(found.template.numpy(), templates.ARCFACE, rtol=1e-6)
    _agree(found, _filled(arcface.IResNet((1, 2, 1, 1), 8), tensors), lambda image: image / 127.5 - 1, 112)


@pytest.mark.parametrize("dag", [True, False])
def test_vggface_of_both_conversions_is_read(tmp_path, dag):
    """The same file under the other conversion's names wants its colours the other way round."""
    tensors = _weights(vggface.VggFace((4, 4, 4, 4, 4), (8, 6)))
    names = tensors if dag else {name.replace("conv", "conv_"): value for name, value in tensors.items()}
    path = tmp_path / "vgg_face.pth"
    torch.save(names | {"fc8.weight": torch.zeros(2622, 6), "fc8.bias": torch.zeros(2622)}, path)
    found = load("vggface", path)
    assert (found.size, found.features) == (224, 6)
    mean = torch.tensor(vggface.MEAN).reshape(3, 1, 1)
    prepare = (lambda image: image - mean) if dag else (lambda image: image.flip(1) - mean)
    _agree(found, _filled(vggface.VggFace((4, 4, 4, 4, 4), (8, 6)), tensors), prepare, 224)


def _graph(path, size, batch, prepares):
    """A recogniser in ONNX: perhaps bytes to [-1, 1], then the means of colours, and three times their squares."""
    make, image = onnx.helper.make_node, "image"
    nodes, constants = [], []
    if prepares:
        for kind, value in (("Sub", 127.5), ("Mul", 1 / 127.5)):
            constants.append(onnx.numpy_helper.from_array(np.float32(value), kind))
            nodes.append(make(kind, [image, kind], [f"after{kind}"]))
            image = f"after{kind}"
    constants.append(onnx.numpy_helper.from_array(np.float32([[1, 0, 0, 2], [0, 1, 0, 2], [0, 0, 1, -3]]), "mix"))
    nodes += [make("GlobalAveragePool", [image], ["mean"]), make("Flatten", ["mean"], ["flat"])]
    nodes.append(make("MatMul", ["flat", "mix"], ["embedding"]))
    value = onnx.helper.make_tensor_value_info
    given = [value("image", onnx.TensorProto.FLOAT, [batch, 3, size, size])]
    answer = [value("embedding", onnx.TensorProto.FLOAT, [batch, 4])]
    graph = onnx.helper.make_graph(nodes, "toy", given, answer, constants)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), path)


@pytest.mark.parametrize("prepares", [True, False])
@pytest.mark.parametrize("batch", [1, "N"])
def test_arcface_in_onnx_gets_what_it_was_trained_on(tmp_path, prepares, batch):
    path = tmp_path / "toy.onnx"
    _graph(path, 96, batch, prepares)
    found = load("arcface", path)
    assert (found.size, found.features, found.differentiable) == (96, 4, False)
    np.testing.assert_allclose(found.template.numpy(), templates.arcface(96), rtol=1e-6)
    image = torch.rand(3, 3, 96, 96)
    mean = 2 * image.mean((2, 3)) - 1
    expected = torch.cat([mean, (mean * torch.tensor([2.0, 2, -3])).sum(1, keepdim=True)], 1)
    torch.testing.assert_close(found(image), torch.nn.functional.normalize(expected), atol=1e-4, rtol=0)


def test_other_files_are_refused_in_one_line(tmp_path):
    resnet = tmp_path / "resnet.pth"
    torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7), "layer1.0.conv1.weight": torch.zeros(64, 64, 3, 3)}, resnet)
    short = tmp_path / "short.pth"
    tensors = _weights(arcface.IResNet((1, 1, 1, 1), 4))
    torch.save({name: value for name, value in tensors.items() if name != "layer3.0.prelu.weight"}, short)
    long = tmp_path / "long.pth"
    torch.save(tensors | {"bn2.bias": torch.zeros(3)}, long)
    noise = tmp_path / "noise.onnx"
    noise.write_bytes(b"not a graph")
    flat = tmp_path / "flat.onnx"
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph(
        [onnx.helper.make_node("Relu", ["x"], ["y"])], "toy",
        [onnx.helper.make_tensor_value_info("x", 1, [1, 4])], [onnx.helper.make_tensor_value_info("y", 1, [1, 4])],
    ), opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), flat)  # fmt: skip
    for name, path, said in (
        ("facenet", resnet, "last_linear"), ("arcface", resnet, "layer4"), ("vggface", resnet, "conv1_1"),
        ("arcface", short, "layer3.0.prelu.weight"), ("arcface", long, "bn2.bias"), ("arcface", noise, "not an ONNX file"),
        ("arcface", flat, "no recognition network"), ("facenet", tmp_path / "absent.pt", "no such file"),
        ("arcface", tmp_path / "absent.onnx", "no such file"),
    ):  # fmt: skip
        with pytest.raises(AssetError, match=said) as caught:
            load(name, path)
        assert "\n" not in str(caught.value) and path.name in str(caught.value)


def test_a_recogniser_needs_a_known_name_and_its_file():
    with pytest.raises(UsageError, match="facenet"):
        load("facenets", None)
    with pytest.raises(UsageError, match="nothing is downloaded"):
        load("arcface", None)
