// Opens /face.glb with three.js alone: sliders for every movement, or, with ?panes=..., pictures side by side.
// A pane is a list of movements such as "jawOpen:0.6,eyeBlinkLeft:1", "photo" for the file's own weights, "" for none.
import * as THREE from "three";
import { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";
import { OrbitControls } from "three/addons/controls/OrbitControls.js";

const query = new URLSearchParams(location.search);
const canvas = document.getElementById("view");

const scene = new THREE.Scene();
scene.background = new THREE.Color(0xdcdcdc);
scene.add(new THREE.HemisphereLight(0xffffff, 0xb0a8a0, 2.2));
const key = new THREE.DirectionalLight(0xffffff, 1.2);
key.position.set(-0.6, 0.8, 1);
scene.add(key);

async function main() {
  const renderer = new THREE.WebGLRenderer({ canvas, antialias: true, preserveDrawingBuffer: true });
  const loaded = await new GLTFLoader().loadAsync("/face.glb");
  scene.add(loaded.scene);
  const meshes = [];
  loaded.scene.traverse((node) => node.isMesh && meshes.push(node));
  const face = meshes[0];
  const photo = [...face.morphTargetInfluences];
  const centre = new THREE.Box3().setFromObject(face).getCenter(new THREE.Vector3());

  const pose = (text) => {
    face.morphTargetInfluences = text === "photo" ? [...photo] : photo.map(() => 0);
    for (const item of text === "photo" ? [] : text.split(",").filter(Boolean)) {
      const [name, weight] = item.split(":");
      if (!(name in face.morphTargetDictionary)) throw new Error(`no movement is called ${name}`);
      face.morphTargetInfluences[face.morphTargetDictionary[name]] = Number(weight);
    }
  };
  const looking = (aspect, degrees) => {
    const camera = new THREE.PerspectiveCamera(20, aspect, 0.05, 10);
    const turn = THREE.MathUtils.degToRad(degrees);
    camera.position.copy(centre).add(new THREE.Vector3(Math.sin(turn), 0.06, Math.cos(turn)).multiplyScalar(0.68));
    camera.lookAt(centre);
    return camera;
  };

  if (query.has("panes")) {
    await picture(renderer, query.getAll("panes"), pose, looking, face);
  } else {
    interactive(renderer, looking, face, photo, centre);
  }
}

async function picture(renderer, panes, pose, looking, face) {
  document.body.className = "picture";
  const side = Number(query.get("side") ?? 400);
  renderer.setSize(panes.length * side, side, false);
  renderer.setScissorTest(true);
  panes.forEach((pane, i) => {
    const [movements, degrees] = pane.split("@");
    pose(movements);
    renderer.setViewport(i * side, 0, side, side);
    renderer.setScissor(i * side, 0, side, side);
    renderer.render(scene, looking(1, Number(degrees ?? 0)));
  });
  const facts = {
    three: THREE.REVISION,
    movements: Object.keys(face.morphTargetDictionary),
    vertices: face.geometry.attributes.position.count,
    picture: canvas.toDataURL("image/png"),
  };
  await fetch("/picture", { method: "POST", body: JSON.stringify(facts) });
}

function interactive(renderer, looking, face, photo, centre) {
  const camera = looking(1, 0);
  const controls = new OrbitControls(camera, canvas);
  controls.target.copy(centre);
  const sliders = document.getElementById("sliders");
  for (const [name, index] of Object.entries(face.morphTargetDictionary)) {
    const label = document.createElement("label");
    const input = Object.assign(document.createElement("input"), { type: "range", min: 0, max: 1, step: 0.01, value: photo[index] });
    input.addEventListener("input", () => (face.morphTargetInfluences[index] = Number(input.value)));
    label.append(name, input);
    sliders.append(label);
  }
  renderer.setAnimationLoop(() => {
    const { clientWidth, clientHeight } = canvas;
    renderer.setSize(clientWidth, clientHeight, false);
    camera.aspect = clientWidth / clientHeight;
    camera.updateProjectionMatrix();
    controls.update();
    renderer.render(scene, camera);
  });
}

main().catch((error) => fetch("/picture", { method: "POST", body: JSON.stringify({ error: String(error) }) }));
