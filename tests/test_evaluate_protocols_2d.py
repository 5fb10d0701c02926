"""`likeness evaluate PROTOCOL` on points, poses, clips, pictures and embeddings, on small files that lie as the public sets do."""

import cv2
import numpy as np
import pytest
from scipy.io import savemat
from test_evaluate_protocols import run

from likeness.cli import evaluate_pictures
from likeness.errors import PARTIAL
from likeness.evaluate.layouts import aflw2000


def aflw_set(tmp_path):
    """Three labels of AFLW2000-3D's layout, at three yaws, and 68 predicted points for two of them."""
    truth = np.random.default_rng(0).uniform([100, 100, -50], [200, 180, 50], (68, 3))
    (tmp_path / "t").mkdir()
    (tmp_path / "p").mkdir()
    for name, yaw in (("image00002", 0.1), ("image00004", -0.8), ("image00006", 1.2)):
        pose = np.array([[0.05, yaw, -0.02, 0, 0, 0, 1e-3]])
        savemat(tmp_path / f"t/{name}.mat", {"pt3d_68": truth.T, "Pose_Para": pose, "pt2d": np.zeros((2, 21))})
    return truth


def test_aflw2000(tmp_path):
    truth = aflw_set(tmp_path)
    np.save(tmp_path / "p/image00002.npy", truth[:, :2] + [3, 4])
    np.savetxt(tmp_path / "p/image00004.txt", truth)
    rows, report = run(tmp_path, "aflw2000", code=PARTIAL)
    size = np.sqrt(np.ptp(truth[:, 0]) * np.ptp(truth[:, 1]))
    assert float(rows["image00002"]["nme"]) == pytest.approx(500 / size)
    assert float(rows["image00004"]["nme"]) < 1e-6
    assert report["whole"]["nme, yaw 0-30"] == pytest.approx(500 / size)
    assert report["whole"]["nme, yaw 30-60"] < 1e-6 and report["whole"]["nme, yaw 60-90"] is None
    assert report["failures"] == {"image00006": "image00006: no prediction"}
    label = aflw2000.read(tmp_path / "t/image00004.mat")
    np.testing.assert_allclose(label.angles, np.degrees([-0.8, 0.05, -0.02]))
    savemat(tmp_path / "t/image00002.mat", {"pt3d_68": truth})
    rows, _ = run(tmp_path, "aflw2000", code=PARTIAL)
    assert "Pose_Para" in rows["image00002"]["failure"]


def test_nme2d_of_pts_files_and_of_one_npz(tmp_path):
    truth = np.random.default_rng(1).uniform(0, 100, (2, 68, 2))
    truth[:, 36], truth[:, 45] = [10, 10], [60, 10]
    (tmp_path / "t").mkdir()
    for k in range(2):
        rows = "\n".join(f"{x:.6f} {y:.6f}" for x, y in truth[k])
        (tmp_path / f"t/image_{k}.pts").write_text(f"version: 1\nn_points: 68\n{{\n{rows}\n}}\n")
    np.savez(tmp_path / "p.npz", name=np.array(["image_0.png", "image_1.png"]), points=truth + [0, 2.0])
    rows, _ = run(tmp_path, "nme2d", predictions="p.npz")
    assert [float(row["nme"]) for row in rows.values()] == pytest.approx([4, 4], rel=1e-4)
    np.savez(tmp_path / "p.npz", name=np.array(["image_0.png"]), points=np.full((1, 68, 2), np.nan))
    rows, report = run(tmp_path, "nme2d", predictions="p.npz", code=PARTIAL)
    assert "NaN" in rows["image_0"]["failure"] and report["failed"] == 2


def test_pose_from_a_table(tmp_path):
    aflw_set(tmp_path)
    angles = np.degrees([0.1, -0.8, 1.2])
    lines = [f"image0000{2 * k + 2},{yaw + 2},{np.degrees(0.05)},{np.degrees(-0.02)}" for k, yaw in enumerate(angles)]
    (tmp_path / "pose.csv").write_text("name,yaw,pitch,roll\n" + "\n".join(lines[:2]) + "\nimage00006,oops,0,0\n")
    rows, _ = run(tmp_path, "pose", predictions="pose.csv", code=PARTIAL)
    assert float(rows["image00002"]["yaw"]) == pytest.approx(2)
    assert float(rows["image00004"]["mean of three"]) == pytest.approx(2 / 3)
    assert "no number" in rows["image00006"]["failure"]
    far = np.array([[0, 2.0, 0, 0, 0, 0, 1]])
    savemat(tmp_path / "t/image00002.mat", {"pt3d_68": np.ones((3, 68)), "Pose_Para": far})
    rows, _ = run(tmp_path, "pose", predictions="pose.csv", code=PARTIAL)
    assert "beyond 99 degrees" in rows["image00002"]["failure"]


def test_steadiness_with_and_without_truth(tmp_path):
    t = np.arange(100)[:, None, None]
    truth = np.sin(t / 8 + np.arange(3)[:, None]) * [20.0, 10]
    late = np.sin((t - 2) / 8 + np.arange(3)[:, None]) * [20.0, 10]
    for folder, points in (("p", late), ("t", truth)):
        (tmp_path / folder).mkdir()
        np.save(tmp_path / f"{folder}/clip.npy", points)
    rows, _ = run(tmp_path, "steadiness", "--fps", 25)
    assert float(rows["clip"]["lag ms"]) == pytest.approx(80, abs=2) and rows["clip"]["jitter"] == ""
    rows, _ = run(tmp_path, "steadiness", truth=None)
    assert float(rows["clip"]["jitter"]) > 0 and rows["clip"]["lag frames"] == ""


def test_pictures(tmp_path):
    for folder in ("p", "t"):
        (tmp_path / folder).mkdir()
    photo = np.full((40, 50, 3), 100, np.uint8)
    rendering = np.dstack([photo, np.zeros((40, 50), np.uint8)])
    rendering[..., 2] += 51  # red, in BGR
    rendering[:20, :, 3] = 255
    cv2.imwrite(str(tmp_path / "t/a.png"), photo)
    cv2.imwrite(str(tmp_path / "p/a.png"), rendering)
    cv2.imwrite(str(tmp_path / "t/b.png"), photo)
    cv2.imwrite(str(tmp_path / "p/b.png"), rendering[:30])
    rows, _ = run(tmp_path, "photometric", code=PARTIAL)
    assert float(rows["a"]["rgb distance"]) == pytest.approx(0.2) and float(rows["a"]["covered %"]) == 50
    assert "but the truth has (40, 50)" in rows["b"]["failure"]
    rows, _ = run(tmp_path, "texture", code=PARTIAL)
    assert float(rows["a"]["l2,1"]) == pytest.approx((0.2 + 100 / 255 * 3**0.5) / 2)
    mask = np.zeros((40, 50), np.uint8)
    mask[10:20, 10:40], mask[20:30, 10:40] = 12, 13
    ours = np.zeros_like(mask)
    ours[10:20, 10:40], ours[25:30, 10:40] = 1, 2
    cv2.imwrite(str(tmp_path / "t/a.png"), mask)
    cv2.imwrite(str(tmp_path / "p/a.png"), ours)
    rows, _ = run(tmp_path, "lips", "--truth-upper", 12, "--truth-lower", 13, code=PARTIAL)
    assert float(rows["a"]["upper"]) == 1 and float(rows["a"]["lower"]) == 0.5
    assert "channels" in rows["b"]["failure"]


def test_pictures_are_read_as_red_green_blue(tmp_path):
    """OpenCV's files begin with blue; of grey pictures, 16 bits and alpha the same comes out."""
    picture = np.zeros((2, 3, 3), np.uint8)
    picture[..., 2], picture[..., 1] = 255, 51
    cv2.imwrite(str(tmp_path / "a.png"), picture)
    values, known = evaluate_pictures.picture(tmp_path / "a.png")
    np.testing.assert_allclose(values[0, 0], [1, 0.2, 0])
    assert known.all()
    cv2.imwrite(str(tmp_path / "b.png"), np.dstack([picture.astype(np.uint16) * 257, np.full((2, 3), 9, np.uint16)]))
    values, known = evaluate_pictures.picture(tmp_path / "b.png")
    np.testing.assert_allclose(values[0, 0], [1, 0.2, 0])
    assert not known.any()
    cv2.imwrite(str(tmp_path / "c.png"), np.full((2, 3), 51, np.uint8))
    np.testing.assert_allclose(evaluate_pictures.picture(tmp_path / "c.png")[0], 0.2)


def test_identity_from_embedding_files(tmp_path):
    random = np.random.default_rng(0)
    people = np.repeat([f"person{i}" for i in range(10)], 2)
    names = np.array([f"photo{i}" for i in range(20)])
    vectors = np.repeat(random.normal(size=(10, 32)), 2, 0) + 0.1 * random.normal(size=(20, 32))
    for folder in ("p", "t"):
        (tmp_path / folder).mkdir()
    np.savez(tmp_path / "t/photos.npz", name=names, person=people, embedding=vectors)
    drawn = vectors + 0.1 * random.normal(size=vectors.shape)
    drawn[3] = 0
    np.savez(tmp_path / "p/renderings.npz", name=names, person=people, embedding=drawn)
    rows, report = run(tmp_path, "identity", code=PARTIAL)
    assert report["scored"] == 19 and "zero" in rows["photo3"]["failure"]
    assert report["whole"]["top 1"] == 100 and report["whole"]["to same"] < 0.1 < 0.5 < report["whole"]["to different"]
    assert rows["photo4"]["group"] == "person2" and float(rows["photo4"]["similarity"]) > 0.9
    assert np.diff(report["curves"]["photos of two people"][1]).min() >= 0
