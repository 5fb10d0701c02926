"""What a frozen recognition network says about photos and drawn faces: found once, kept, and by one process at a time."""

import multiprocessing
import time
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from test_genova2018 import FEATURES, SIZE, network, toy_model

from likeness.data.booth import Booth
from likeness.data.folder import Listing
from likeness.data.observed import aligned, seen_faces, seen_photos
from likeness.encoders.recognition.templates import five
from likeness.errors import AssetError


def photos(folder, count=3):
    """Pictures with a dot at each of the five points, and a listing of them."""
    (folder / "sfhq").mkdir(parents=True)
    points = np.zeros((count, 478, 3), np.float32)
    points[:, 263, 0] = 60.0
    places = np.array([[70, 60], [110, 62], [92, 85], [76, 104], [106, 105]], np.float32)
    names = []
    for k in range(count):
        mine = places + 3 * k
        points[k, [468, 473, 4, 61, 291], :2] = mine
        image = np.full((160, 180, 3), 40, np.uint8)
        for number, (x, y) in enumerate(mine):
            cv2.circle(image, (round(float(x)), round(float(y))), 7, (0, 60 + 40 * number, 255), -1)
        names.append(f"{k}.png")
        cv2.imwrite(str(folder / "sfhq" / names[-1]), image)
    return Listing(folder, "sfhq", names, points)


def test_photos_are_seen_once_aligned_and_mirrored(tmp_path):
    listing, recogniser, seen = photos(tmp_path), network(), []
    follow = lambda steps, count: (seen.append(row) or row for row in steps)
    first = seen_photos(tmp_path / "o", recogniser, [listing], follow=follow)
    again = seen_photos(tmp_path / "o", recogniser, [listing], follow=follow)
    assert seen == [0, 1, 2] and first.features.shape == (3, 4, FEATURES)
    np.testing.assert_array_equal(first.features, again.features)
    np.testing.assert_array_equal(first.crops, again.crops)
    np.testing.assert_allclose(np.linalg.norm(first.features, axis=-1), 1, atol=1e-5)
    right_eye, left_eye = (np.asarray(recogniser.template)[k].astype(int) for k in (0, 1))
    crop = first.crops[1].astype(int)
    assert abs(crop[right_eye[1], right_eye[0]] - [255, 60, 0]).max() < 70  # every dot has its own green
    assert abs(crop[left_eye[1], left_eye[0]] - [255, 100, 0]).max() < 70
    image = cv2.cvtColor(cv2.imread(str(tmp_path / "sfhq/1.png")), cv2.COLOR_BGR2RGB)
    flipped = (five(listing.points[1]) * [-1, 1] + [180, 0])[[1, 0, 2, 4, 3]]
    mirrored = aligned(np.ascontiguousarray(image[:, ::-1]), flipped, recogniser)
    tensor = torch.from_numpy(mirrored).permute(2, 0, 1)[None] / 255
    np.testing.assert_allclose(first.features[1, 1], recogniser(tensor)[0], atol=1e-5)
    seen_photos(tmp_path / "o", network(1), [listing], follow=follow)
    assert seen == [0, 1, 2] * 2  # another network has to look for itself


def observe(folder, listing, together, found):
    """A process that wants photos and faces seen, beside another: how many it had to look at itself, and what it has."""
    model, topology = toy_model()
    recogniser, looked = network(), []

    def follow(steps, count):
        for step in steps:
            time.sleep(0.3)  # so that both are at it at once, if they do not wait
            looked.append(step)
            yield step

    together.wait()
    photos = seen_photos(folder, recogniser, [listing], follow=follow)
    faces = seen_faces(folder, recogniser, model, Booth(topology, recogniser.template, SIZE), 40, follow=follow)
    found.put((len(looked), photos.features, np.array(photos.crops), faces.features))


def test_of_two_processes_one_looks_and_the_other_waits(tmp_path):
    listing, context = photos(tmp_path), multiprocessing.get_context("spawn")
    together, found = context.Barrier(2), context.Queue()
    running = [context.Process(target=observe, args=(tmp_path / "o", listing, together, found)) for _ in range(2)]
    for process in running:
        process.start()
    (first, *one), (second, *two) = (found.get(timeout=120) for _ in running)
    for process in running:
        process.join()
    assert first + second == 3 + 2  # three photos, and 40 faces 32 at a time
    assert all(np.array_equal(a, b) for a, b in zip(one, two))
    assert sorted(path.name for path in (tmp_path / "o").iterdir()) == [
        "crops.npy", "faces.safetensors", "lock", "photos.safetensors"]  # fmt: skip


def test_another_run_that_looks_anew_leaves_the_pictures_of_the_first_as_they_are(tmp_path):
    """They are read from disk as long as the first run trains."""
    listing = photos(tmp_path)
    first = seen_photos(tmp_path / "o", network(), [listing])
    before = np.array(first.crops)
    turned = replace(listing, files=listing.files[::-1], points=listing.points[::-1])
    second = seen_photos(tmp_path / "o", network(), [turned])
    np.testing.assert_array_equal(first.crops, before)
    np.testing.assert_array_equal(second.crops, before[::-1])


def test_steep_profiles_are_left_out_and_a_broken_photo_is_named(tmp_path):
    listing = photos(tmp_path)
    listing.points[2, 263] = [10, 0, 60]
    assert len(seen_photos(tmp_path / "o", network(), [listing]).features) == 2
    (tmp_path / "sfhq/0.png").write_bytes(b"no picture")
    with pytest.raises(AssetError, match="0.png"):
        seen_photos(tmp_path / "p", network(), [listing])
