"""The albedo model: what is stored, what comes back, and the same in torch."""

import json

import numpy as np
import pytest
import torch

from likeness import color
from likeness.assets import albedo, toy
from likeness.errors import AssetError
from likeness.models.albedo import AlbedoDecoder, colour_gram
from likeness.render.interpolate import sample_texture

SIZE, GLOSS, COUNT = 32, 16, 5
SYMMETRY = np.array([1, -1, 1, 1, -1], np.int8)


def maps(seed=0):
    """Mean, modes and gloss of a made-up model, whole and mirrored exactly."""
    random = np.random.default_rng(seed)
    mean = random.uniform(0.3, 0.7, (SIZE, SIZE, 3))
    modes = random.normal(0, 0.03, (COUNT, SIZE, SIZE, 3)) * np.array([1, 0.1, 3, 0.01, 1])[:, None, None, None]
    gloss = random.uniform(0.1, 0.4, (GLOSS, GLOSS))
    modes = (modes + SYMMETRY[:, None, None, None] * modes[:, :, ::-1]) / 2
    return (mean + mean[:, ::-1]) / 2, modes, (gloss + gloss[:, ::-1]) / 2


def made(seed=0):
    mean, modes, gloss = maps(seed)
    return albedo.AlbedoModel.of(mean, modes, SYMMETRY, gloss, "made up")


def test_a_code_of_zero_is_the_mean_in_linear_light():
    mean, _, gloss = maps()
    np.testing.assert_allclose(made().texture(np.zeros(COUNT)), color.linear_from_srgb(mean), atol=1e-6)
    np.testing.assert_allclose(
        made().specular(np.zeros(COUNT)), np.repeat(gloss[..., None], 3, -1), atol=0.5 / 255 + 1e-6
    )


def test_modes_come_back_within_half_a_step_of_their_own_scale():
    _, modes, _ = maps()
    model = made()
    whole = np.stack([albedo.unfold(mode, sign) for mode, sign in zip(model.half_modes, SYMMETRY)])
    error = np.abs(whole - modes).reshape(COUNT, -1).max(1)
    largest = np.abs(modes).reshape(COUNT, -1).max(1)
    assert (error <= largest / 127 / 2 + 1e-7).all()
    assert (error[[1, 3]] < 1e-3).all()  # small modes have small steps


def test_the_mirrored_code_gives_the_mirrored_face():
    model = made()
    code = np.random.default_rng(1).standard_normal(COUNT)
    for function in (model.texture, model.specular):
        np.testing.assert_allclose(function(code * SYMMETRY), function(code)[:, ::-1], atol=1e-6)
        assert np.abs(function(code) - function(code)[:, ::-1]).max() > 1e-3  # this one is not symmetric


def test_colours_stay_in_their_range_for_wild_codes():
    for values in (made().texture(np.full(COUNT, 40.0)), made().specular(np.full(COUNT, -40.0))):
        assert values.min() >= 0 and values.max() <= 1 and np.isfinite(values).all()


def test_what_a_code_darkens_in_one_place_shines_less_there_and_a_dark_person_does_not():
    mean = np.full((SIZE, SIZE, 3), 0.6)
    beard = np.zeros((SIZE, SIZE, 3))
    beard[20:24, 12:20] = -0.2
    modes = np.stack([beard, np.full((SIZE, SIZE, 3), -0.2)])
    model = albedo.AlbedoModel.of(mean, modes, np.ones(2), np.full((GLOSS, GLOSS), 0.2))
    shine = model.specular(np.zeros(2))
    bearded, dark = model.specular(np.array([1.0, 0])), model.specular(np.array([0, 1.0]))
    assert (bearded[10:12, 6:10] < 0.75 * shine[10:12, 6:10]).all()
    np.testing.assert_allclose(dark, shine, atol=1e-3)


def test_torch_says_the_same_as_numpy_in_any_batch():
    model, topology = made(), toy.head().topology("base")
    decoder = AlbedoDecoder(model, topology)
    code = torch.randn(2, 3, COUNT, generator=torch.Generator().manual_seed(0))
    textures, (diffuse, specular) = decoder.texture(code), decoder(code)
    assert diffuse.shape == specular.shape == (2, 3, len(topology.uv), 3)
    for i in range(2):
        for j in range(3):
            np.testing.assert_allclose(textures[i, j], model.texture(code[i, j].numpy()), atol=1e-6)
    places = torch.as_tensor(topology.uv)
    encoded = color.srgb_from_linear(textures[1, 2].double()).float()
    at = color.linear_from_srgb(sample_texture(encoded, places))  # the model is linear in encoded values
    np.testing.assert_allclose(diffuse[1, 2], at, atol=1e-5)
    shine = sample_texture(torch.from_numpy(model.specular(code[0, 1].numpy())), places)
    np.testing.assert_allclose(specular[0, 1], shine, atol=1e-5)
    one, _ = decoder(code[1, 1])
    torch.testing.assert_close(one, diffuse[1, 1])


def test_gradients_reach_the_code():
    decoder = AlbedoDecoder(made(), toy.head().topology("base")).double()
    code = (0.3 * torch.randn(2, COUNT, generator=torch.Generator().manual_seed(1))).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda c: [v[..., ::50, :] for v in decoder(c)], code, atol=1e-6)
    assert torch.autograd.gradcheck(lambda c: decoder.texture(c)[..., ::9, ::7, :], code, atol=1e-6)


def test_a_file_comes_back_and_says_that_shine_is_authored(tmp_path):
    model, path = made(), tmp_path / "a.safetensors"
    albedo.save(model, path, {"photos": 3})
    again = albedo.load(path)
    code = np.random.default_rng(2).standard_normal(COUNT)
    np.testing.assert_allclose(again.texture(code), model.texture(code), atol=2e-3)
    np.testing.assert_array_equal(again.modes, model.modes)
    assert again.licence == "made up"
    content = path.read_bytes()
    head = json.loads(json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]["model"])
    assert head["specular"].startswith("authored") and head["photos"] == 3
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


@pytest.mark.parametrize("damage", ["missing", "garbage", "cut", "shape", "type", "symmetry"])
def test_a_bad_file_is_one_clear_line(tmp_path, damage):
    from dataclasses import replace

    model, path = made(), tmp_path / "a.safetensors"
    broken = {
        "shape": replace(model, scale=model.scale[:-1]), "type": replace(model, modes=model.modes.astype(np.int16)),
        "symmetry": replace(model, symmetry=0 * model.symmetry),
    }  # fmt: skip
    albedo.save(broken.get(damage, model), path)
    if damage == "missing":
        path.unlink()
    if damage == "garbage":
        path.write_bytes(b"not a file of numbers")
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(AssetError) as caught:
        albedo.load(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_the_model_that_ships_is_small_and_whole():
    from likeness.assets.catalogue import SHIPPED

    model = albedo.load()
    assert model.size == 256 and len(model.gloss) == 128
    shipped = sum(SHIPPED[name].path().stat().st_size for name in ("face model", "albedo model"))
    assert shipped <= 12e6
    skin = color.srgb_from_linear(model.texture(np.zeros(model.codes)))[60:230, 40:216]
    assert 0.45 < np.median(skin) < 0.85


def test_the_forms_value_is_the_mean_squared_difference_of_two_colours():
    model, codes = made(), np.random.default_rng(3).standard_normal((2, COUNT)).astype(np.float32)
    whole = [albedo.unfold(mode, sign) for mode, sign in zip(model.half_modes, model.symmetry.tolist())]
    one, two = (np.tensordot(code, np.stack(whole), 1) for code in codes)
    difference = codes[0] - codes[1]
    np.testing.assert_allclose(difference @ colour_gram(model) @ difference, np.square(one - two).mean(), rtol=1e-4)
