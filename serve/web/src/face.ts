/** The scene: a head with morph targets, its light and its camera. Drawn only when something changed. */

import {
  Box3,
  DirectionalLight,
  HemisphereLight,
  type Material,
  Mesh,
  NeutralToneMapping,
  type Object3D,
  PCFSoftShadowMap,
  PerspectiveCamera,
  Scene,
  Vector3,
  WebGLRenderer,
} from "three";
import { type GLTF, GLTFLoader } from "three/examples/jsm/loaders/GLTFLoader.js";
import { fit, type Fit } from "./names";
import { Orbit } from "./orbit";

interface Slot {
  influences: number[];
  index: number;
}

const FIELD = 22; // degrees: a long lens, as for portraits
const ROOM = 2.14; // height of the picture in heights of what moves in the face
const RAISED = 0.06; // of that height: hair takes more room than a chin

export class Face {
  private readonly renderer: WebGLRenderer;
  private readonly scene = new Scene();
  private readonly camera = new PerspectiveCamera(FIELD, 1, 0.01, 100);
  private readonly key = new DirectionalLight(0xfff1e2, 2.4);
  private readonly rim = new DirectionalLight(0xcfe0ff, 1.1);
  private readonly fill = new DirectionalLight(0xe8eeff, 0.7);
  private readonly sky = new HemisphereLight(0xffffff, 0x9a8478, 1.15);
  private readonly orbit: Orbit;
  private model: Object3D | null = null;
  private slots = new Map<string, Slot[]>();
  private stale = true;

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly channels: readonly string[],
  ) {
    this.renderer = new WebGLRenderer({ canvas, antialias: true, alpha: true });
    this.renderer.toneMapping = NeutralToneMapping;
    this.renderer.shadowMap.enabled = true;
    this.renderer.shadowMap.type = PCFSoftShadowMap;
    this.key.castShadow = true;
    this.key.shadow.mapSize.set(1024, 1024);
    this.key.shadow.radius = 6;
    for (const light of [this.key, this.fill, this.rim]) this.scene.add(light, light.target);
    this.scene.add(this.sky);
    this.orbit = new Orbit(canvas, this.camera, () => (this.stale = true));
    new ResizeObserver(() => this.resize()).observe(canvas);
    canvas.addEventListener("webglcontextrestored", () => (this.stale = true));
  }

  /** Show another model; throws in words, and keeps the one there is, if a file has no channel of ours. */
  async load(data: ArrayBuffer): Promise<Fit> {
    const found = await read(data);
    const meshes: Mesh[] = [];
    found.scene.traverse((node) => {
      if (node instanceof Mesh) {
        node.castShadow = node.receiveShadow = true;
        if (node.morphTargetDictionary) meshes.push(node);
      }
    });
    const targets = new Set(meshes.flatMap((mesh) => Object.keys(mesh.morphTargetDictionary ?? {})));
    const fitted = fit(targets, this.channels);
    if (!fitted.found.size) throw new Error(nothingFits(targets));
    this.replace(found.scene);
    this.slots = slotsOf(meshes, fitted);
    this.frame(meshes, fitted);
    return fitted;
  }

  /** Pose the face; weights in the order of the channels. */
  show(weights: Float32Array): void {
    this.channels.forEach((channel, c) => {
      for (const slot of this.slots.get(channel) ?? []) {
        if (Math.abs(slot.influences[slot.index] - weights[c]) < 1e-4) continue;
        slot.influences[slot.index] = weights[c];
        this.stale = true;
      }
    });
  }

  setDark(dark: boolean): void {
    this.rim.intensity = dark ? 1.5 : 0.7;
    this.sky.intensity = dark ? 1.3 : 1.7;
    this.renderer.toneMappingExposure = dark ? 0.98 : 1.08;
    this.stale = true;
  }

  /** Draw, if anything changed since the last time. */
  render(): void {
    if (!this.stale || !this.canvas.clientWidth) return;
    this.stale = false;
    this.renderer.render(this.scene, this.camera);
  }

  private resize(): void {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width || !height) return;
    this.renderer.setPixelRatio(Math.min(devicePixelRatio, 2));
    this.renderer.setSize(width, height, false);
    this.camera.aspect = width / height;
    this.orbit.place();
    this.stale = true;
    this.render(); // at once: a canvas that changed its size is empty
  }

  private replace(model: Object3D): void {
    if (this.model) {
      this.scene.remove(this.model);
      this.model.traverse((node) => {
        if (!(node instanceof Mesh)) return;
        node.geometry.dispose();
        for (const material of [node.material].flat() as Material[]) material.dispose();
      });
    }
    this.model = model;
    this.scene.add(model);
    this.stale = true;
  }

  /** Put camera and lights so that what moves in the face fills the picture, whatever the model's size. */
  private frame(meshes: Mesh[], fitted: Fit): void {
    const box = movingPart(meshes, fitted);
    const size = box.getSize(new Vector3());
    const middle = box.getCenter(new Vector3());
    const height = size.y * ROOM;
    middle.y += size.y * RAISED;
    middle.z = box.min.z;
    this.orbit.aim(middle, height, Math.max(size.x * 1.5, height * 0.72));
    const place = (light: DirectionalLight, x: number, y: number, z: number): void => {
      light.position.copy(middle).add(new Vector3(x, y, z).multiplyScalar(height));
      light.target.position.copy(middle);
    };
    place(this.key, -0.9, 1.25, 1.7);
    place(this.fill, 1.6, 0.1, 1.4);
    place(this.rim, 1.5, 0.7, -1.1);
    const { camera: light } = this.key.shadow;
    light.left = light.bottom = -height;
    light.right = light.top = height;
    light.near = 0.1 * height;
    light.far = 5 * height;
    light.updateProjectionMatrix();
    this.key.shadow.bias = -0.0006;
    this.key.shadow.normalBias = 0.012 * height;
  }
}

async function read(data: ArrayBuffer): Promise<GLTF> {
  const loader = new GLTFLoader();
  const text = new TextDecoder("latin1").decode(data.slice(0, 1 << 20));
  if (text.includes("EXT_meshopt_compression")) {
    const { MeshoptDecoder } = await import("three/examples/jsm/libs/meshopt_decoder.module.js");
    loader.setMeshoptDecoder(MeshoptDecoder);
  }
  try {
    return await loader.parseAsync(data, "");
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`The file cannot be read as glTF: ${why.replace(/^THREE\.GLTFLoader: /, "")}`);
  }
}

function nothingFits(targets: Set<string>): string {
  if (!targets.size) return "The model has no morph targets.";
  const some = [...targets].slice(0, 6).join(", ");
  return `None of the model's ${targets.size} morph targets is named like a channel of ARKit: ${some} …`;
}

function slotsOf(meshes: Mesh[], fitted: Fit): Map<string, Slot[]> {
  const slots = new Map<string, Slot[]>();
  for (const mesh of meshes) {
    for (const [target, index] of Object.entries(mesh.morphTargetDictionary ?? {})) {
      const channel = fitted.found.get(target);
      if (!channel || !mesh.morphTargetInfluences) continue;
      slots.set(channel, [...(slots.get(channel) ?? []), { influences: mesh.morphTargetInfluences, index }]);
    }
  }
  return slots;
}

/** The box around all vertices that any channel moves well: the face, even of a model with a whole body. */
function movingPart(meshes: Mesh[], fitted: Fit): Box3 {
  const box = new Box3();
  const at = new Vector3();
  for (const mesh of meshes) {
    mesh.updateWorldMatrix(true, false);
    const moved = movedVertices(mesh, fitted);
    for (const v of moved) box.expandByPoint(mesh.localToWorld(mesh.getVertexPosition(v, at)));
  }
  return box;
}

function movedVertices(mesh: Mesh, fitted: Fit): Set<number> {
  const positions = mesh.geometry.morphAttributes.position ?? [];
  const moved = new Set<number>();
  for (const [target, index] of Object.entries(mesh.morphTargetDictionary ?? {})) {
    const moves = positions[index];
    if (!moves || !fitted.found.has(target)) continue;
    let most = 0;
    const length = (v: number): number => Math.hypot(moves.getX(v), moves.getY(v), moves.getZ(v));
    for (let v = 0; v < moves.count; v++) most = Math.max(most, length(v));
    for (let v = 0; most > 0 && v < moves.count; v++) if (length(v) > 0.25 * most) moved.add(v);
  }
  return moved;
}

