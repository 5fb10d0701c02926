"""The losses of Genova et al. 2018: identity, moments, codes."""

import os
import socket
import subprocess
import sys

import numpy as np
import pytest
import torch

from likeness.losses.batch import whole
from likeness.losses.distribution import batch_distribution, correlation, standard_normal_moments
from likeness.losses.identity import unlikeness, unlikeness_of_views
from likeness.losses.parameter import code_distance


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_same_face_costs_nothing_and_its_opposite_two():
    one = normal(4, 8)
    torch.testing.assert_close(unlikeness(one, 3 * one), torch.zeros(4, dtype=torch.float64))
    torch.testing.assert_close(unlikeness(one, -one), torch.full((4,), 2.0, dtype=torch.float64))
    first, second = torch.tensor([[1.0, 0, 0]]), torch.tensor([[0.5, 3**0.5 / 2, 0]])
    assert unlikeness(first, second).item() == pytest.approx(0.5)


def test_a_step_against_the_gradient_makes_faces_more_alike():
    """Eq. 4 prints the similarity: to lower it would part the face from its photo."""
    photo, found = normal(3, 8), normal(3, 8, seed=1).requires_grad_()
    (gradient,) = torch.autograd.grad(unlikeness(photo, found).sum(), found)
    closer = torch.nn.functional.cosine_similarity(photo, found - 0.1 * gradient)
    assert (closer > torch.nn.functional.cosine_similarity(photo, found)).all()


def test_views_count_equally():
    photo, views = normal(2, 8), normal(2, 3, 8, seed=1)
    by_hand = torch.stack([unlikeness(photo, views[:, k]) for k in range(3)]).mean(0)
    torch.testing.assert_close(unlikeness_of_views(photo, views), by_hand)
    assert torch.autograd.gradcheck(unlikeness_of_views, (photo.requires_grad_(), views.requires_grad_()))


def test_moments_are_those_of_the_paper():
    code = 0.5 + 2 * normal(7, 3)
    values = code.numpy()
    expected = (values.mean(0) ** 2).sum() + ((values.var(0, ddof=1) - 1) ** 2).sum()
    assert standard_normal_moments(code).item() == pytest.approx(expected)
    other = normal(7, 2, seed=1)
    both = standard_normal_moments(code) + standard_normal_moments(other)
    torch.testing.assert_close(batch_distribution(code, other), both)
    assert torch.autograd.gradcheck(standard_normal_moments, code.requires_grad_())


def test_numbers_that_repeat_one_another_cost_and_others_hardly_do():
    own = normal(400, 6)
    assert correlation(own).item() == pytest.approx(5 / 400, rel=0.6)
    assert correlation(own[:, :1].expand(-1, 6)).item() == pytest.approx(5 * own[:, 0].var().item() ** 2)
    by_hand = (np.cov(own.numpy().T) ** 2).sum() - (own.numpy().var(0, ddof=1) ** 2).sum()
    assert correlation(own + 3).item() == pytest.approx(by_hand / 6)
    assert torch.autograd.gradcheck(correlation, normal(5, 3).requires_grad_())
    with pytest.raises(ValueError, match="two at least"):
        correlation(own[:1])


def test_a_batch_as_it_should_be_costs_nothing_however_unusual_one_face_is():
    code = torch.zeros(9, 2, dtype=torch.float64)
    code[0], code[1] = 2.0, -2.0  # two unusual faces among seven means
    assert standard_normal_moments(code).item() == pytest.approx(0)
    assert standard_normal_moments(code / 2).item() > 1


def test_few_faces_of_the_model_itself_are_pulled_a_little_towards_its_mean():
    pulls = []
    for seed in range(200):
        code = normal(16, 4, seed=seed).requires_grad_()
        (gradient,) = torch.autograd.grad(standard_normal_moments(code), code)
        pulls.append((gradient * code.detach()).sum().item())
    mean, error = np.mean(pulls), np.std(pulls) / len(pulls) ** 0.5
    # d/ds of the loss under code * (1 + s): 2 mean^2 + 4 (var^2 - var), whose average is 2 / B + 8 / (B - 1) a coefficient
    assert abs(mean - 4 * (2 / 16 + 8 / 15)) < 4 * error


def test_one_face_has_no_moments():
    with pytest.raises(ValueError, match="of 1 face"):
        standard_normal_moments(torch.zeros(1, 3))


def test_code_distance_is_the_squared_length():
    first, second = normal(2, 3, 5), normal(2, 3, 5, seed=1)
    np.testing.assert_allclose(code_distance(first, second), ((first - second) ** 2).sum(-1))


def test_one_process_has_the_whole_batch():
    values = normal(3, 2)
    assert whole(values) is values


def test_two_processes_see_the_moments_of_all_faces():
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        port = place.getsockname()[1]
    started = []
    for rank in range(2):
        around = {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        around = os.environ | around | {"OMP_NUM_THREADS": "1"}
        started.append(subprocess.Popen([sys.executable, __file__], env=around, stdout=subprocess.PIPE, text=True))
    answers = [process.communicate(timeout=300)[0].split() for process in started]
    assert [process.returncode for process in started] == [0, 0]
    code = normal(6, 3).requires_grad_()
    loss = standard_normal_moments(code)
    (gradient,) = torch.autograd.grad(loss, code)
    found = np.array([[float(word) for word in words] for words in answers])
    np.testing.assert_allclose(found[:, 0], loss.item())
    np.testing.assert_allclose(found[:, 1:].reshape(6, 3), gradient, atol=1e-12)


def program() -> None:
    """One of two processes: its three of six faces; prints the loss, and the gradient of the mean of both losses."""
    torch.distributed.init_process_group("gloo")
    rank = torch.distributed.get_rank()
    code = normal(6, 3)[3 * rank : 3 * rank + 3].requires_grad_()
    loss = standard_normal_moments(code)
    (gradient,) = torch.autograd.grad(loss / 2, code)
    print(loss.item(), *gradient.flatten().tolist())
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    program()
