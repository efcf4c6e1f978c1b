/** A camera that turns about a face by pointer, wheel, fingers and arrow keys, and never loses it. */

import { type PerspectiveCamera, Spherical, Vector3 } from "three";

const TURN = { yaw: 1.25, pitch: 0.55 };
const ZOOM = { near: 0.45, far: 1.8 };

export class Orbit {
  private readonly aimed = new Vector3();
  private height = 1;
  private width = 1;
  private yaw = 0;
  private pitch = 0;
  private zoom = 1;
  private readonly fingers = new Map<number, PointerEvent>();

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly camera: PerspectiveCamera,
    private readonly changed: () => void,
  ) {
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.fingers.set(event.pointerId, event);
    });
    canvas.addEventListener("pointermove", (event) => this.drag(event));
    for (const kind of ["pointerup", "pointercancel"] as const) {
      canvas.addEventListener(kind, (event) => this.fingers.delete(event.pointerId));
    }
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    canvas.addEventListener("dblclick", () => this.reset());
    canvas.addEventListener("keydown", (event) => this.press(event));
  }

  /** Look at a point so that a part of this height and width is seen whole. */
  aim(point: Vector3, height: number, width: number): void {
    this.aimed.copy(point);
    this.height = height;
    this.width = width;
    this.reset();
  }

  reset(): void {
    this.yaw = this.pitch = 0;
    this.zoom = 1;
    this.place();
  }

  place(): void {
    const slope = 2 * Math.tan((this.camera.fov * Math.PI) / 360);
    const fits = Math.max(this.height, this.width / this.camera.aspect) / slope;
    const distance = fits * this.zoom;
    const away = new Spherical(distance, Math.PI / 2 - this.pitch, this.yaw);
    this.camera.position.setFromSpherical(away).add(this.aimed);
    this.camera.near = fits / 50;
    this.camera.far = fits * 10;
    this.camera.lookAt(this.aimed);
    this.camera.updateProjectionMatrix();
    this.changed();
  }

  private turn(yaw: number, pitch: number): void {
    this.yaw = clamp(this.yaw + yaw, -TURN.yaw, TURN.yaw);
    this.pitch = clamp(this.pitch + pitch, -TURN.pitch, TURN.pitch);
    this.place();
  }

  private scale(factor: number): void {
    this.zoom = clamp(this.zoom * factor, ZOOM.near, ZOOM.far);
    this.place();
  }

  private drag(event: PointerEvent): void {
    const before = this.fingers.get(event.pointerId);
    if (!before) return;
    const spread = this.spread();
    this.fingers.set(event.pointerId, event);
    if (this.fingers.size > 1) {
      const now = this.spread();
      if (spread && now) this.scale(spread / now);
    } else {
      const step = 2.4 / this.canvas.clientHeight;
      this.turn((before.clientX - event.clientX) * step, (event.clientY - before.clientY) * step);
    }
  }

  private spread(): number {
    const [a, b] = [...this.fingers.values()];
    return a && b ? Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY) : 0;
  }

  private wheel(event: WheelEvent): void {
    event.preventDefault();
    this.scale(Math.exp(event.deltaY * 0.0012));
  }

  private press(event: KeyboardEvent): void {
    const keys: Record<string, () => void> = {
      ArrowLeft: () => this.turn(-0.08, 0),
      ArrowRight: () => this.turn(0.08, 0),
      ArrowUp: () => this.turn(0, 0.06),
      ArrowDown: () => this.turn(0, -0.06),
      "+": () => this.scale(0.92),
      "-": () => this.scale(1.09),
      "0": () => this.reset(),
    };
    const act = keys[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(high, Math.max(low, value));
}
