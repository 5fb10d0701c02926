"""Shape errors on shapes whose errors are known."""

import numpy as np
import pytest

from likeness.errors import AssetError
from likeness.evaluate import scans
from likeness.evaluate.registration import fit_to_scan
from likeness.geometry.alignment import Similarity
from likeness.geometry.mesh import vertex_normals
from likeness.geometry.rotation import from_euler
from likeness.types import View

MOTION = Similarity(
    from_euler(*(np.float64(a) for a in (0.1, -0.05, 0.08))), np.array([4.0, -3.0, 5.0]), np.float64(1.07)
)


def dome(count=41, bump=0.0):
    """A face-like patch (V, 3) mm, triangles, and seven landmarks' vertex ids; `bump` mm on one cheek."""
    x, y = np.meshgrid(np.linspace(-85, 85, count), np.linspace(-95, 95, count))
    z = 70 - x**2 / 110 - y**2 / 190 + 22 * np.exp(-((x / 11) ** 2 + ((y + 5) / 22) ** 2))
    z += bump * np.exp(-(((x - 40) / 18) ** 2 + ((y + 20) / 18) ** 2))
    index = np.arange(count * count).reshape(count, count)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    triangles = np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((a, b, c), (a, c, d))])
    points = np.stack([x, y, z], -1).reshape(-1, 3)
    places = [(-45, 35), (-18, 33), (18, 33), (45, 35), (0, -5), (-25, -45), (25, -45)]
    marks = [np.linalg.norm(points[:, :2] - p, axis=1).argmin() for p in places]
    return points, triangles.astype(np.int32), np.array(marks)


def test_size_and_place_do_not_count_and_shape_does():
    mean, triangles, _ = dome()
    truth, _, _ = dome(bump=6)
    normals = vertex_normals(truth, triangles)
    assert scans.shape_error(MOTION.apply(truth), truth, normals) == pytest.approx(0, abs=1e-9)
    assert 0.2 < scans.shape_error(mean, truth, normals) < 1.5


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_distinctiveness_is_the_share_that_comes_back(share):
    random = np.random.default_rng(0)
    mean, _, _ = dome(21)
    modes = random.standard_normal((8, *mean.shape)) * 0.3
    codes = random.standard_normal((30, 8))
    truth = mean + np.tensordot(codes, modes, 1)
    found = mean + share * np.tensordot(codes, modes, 1) + np.tensordot(random.standard_normal((30, 8)), 0 * modes, 1)
    moved = MOTION.apply(found)
    assert scans.distinctiveness(moved, truth, mean) == pytest.approx(share, abs=0.02)


def test_a_scan_of_the_mesh_itself_has_no_error_and_a_bump_shows_with_its_sign():
    points, triangles, marks = dome()
    target = MOTION.apply(dome(61, bump=6)[0])
    scan = scans.Scan(target, dome(61)[1], MOTION.apply(dome(bump=6)[0])[marks])
    same = scans.scan_errors(dome(bump=6)[0], triangles, dome(bump=6)[0][marks], scan)
    plain = scans.scan_errors(points, triangles, points[marks], scan)
    assert same.mean < 0.12 and plain.mean > 3 * same.mean
    deepest = scan.vertices[plain.rows[plain.signed.argmin()]]
    bump = MOTION.apply(np.array([[40.0, -20.0, 60.0]]))[0]
    assert np.linalg.norm((deepest - bump)[:2]) < 15
    assert scans.scan_distinctiveness(same, plain) > 0.8
    assert scans.scan_distinctiveness(plain, plain) == 0


def test_a_textured_scan_is_photographed(tmp_path):
    points, triangles, marks = dome(21)
    uv = np.tile([[0.25, 0.25], [0.3, 0.25], [0.25, 0.3]], (len(triangles), 1, 1))
    texture = np.zeros((8, 8, 3), np.uint8)
    texture[..., 0] = 250
    view = View(np.eye(3), np.array([0, 0, -800.0]), np.float64(200), np.array([32.0, 32.0]), (64, 64))
    image = scans.photograph(scans.Scan(points, triangles, points[marks], uv, texture), view)
    assert image.shape == (64, 64, 3) and image[32, 32, 0] > 200 and image[32, 32, 1] < 20
    assert np.ptp(image[0, 0].astype(int)) == 0


def test_a_missing_or_empty_scan_is_refused(tmp_path):
    with pytest.raises(AssetError, match="cannot be read"):
        scans.lee_perry_smith(tmp_path)
    (tmp_path / "head.obj").write_text("# nothing\n")
    with pytest.raises(AssetError, match="no mesh"):
        scans.lee_perry_smith(tmp_path)


def test_a_model_laid_onto_a_scan_finds_its_shape():
    mean, triangles, marks = dome(31)
    fine, fine_triangles, fine_marks = dome(53)
    bumps = [np.array([40.0, -20]), np.array([-40.0, -20]), np.array([0, 60.0]), np.array([0, -70.0])]

    def modes(points):
        heights = [3 * np.exp(-((points[:, :2] - place) ** 2).sum(1) / 500) for place in bumps]
        return np.stack([np.stack([0 * h, 0 * h, h], -1) for h in heights])

    codes = np.array([1.2, -0.8, 0.9, -1.1])
    target = MOTION.apply(fine + np.tensordot(codes, modes(fine), 1))
    scan = scans.Scan(target, fine_triangles, target[fine_marks])
    found, motion = fit_to_scan(mean, modes(mean), triangles, marks, scan)
    np.testing.assert_allclose(found, codes, atol=0.25)
    assert motion.scale == pytest.approx(1.07, abs=0.03)  # heights and size trade on a smooth dome
