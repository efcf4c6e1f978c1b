/** Sound that comes as time passes: from a microphone, or from a file as if it were one. */

import workletUrl from "./worklet?worker&url";

export interface Piece {
  samples: Float32Array;
  /** When its first sample came, on the sound card's clock. */
  began: number;
}

export interface Capture {
  readonly rate: number;
  /** Let what is heard of a file wait for its face; a microphone is not heard. */
  delay(seconds: number): void;
  stop(): void;
}

const ready = new WeakMap<AudioContext, Promise<void>>();

async function captureNode(context: AudioContext, hear: (piece: Piece) => void): Promise<AudioWorkletNode> {
  if (!context.audioWorklet) throw new Error("Live sound needs https or localhost in this browser.");
  const loaded = ready.get(context) ?? context.audioWorklet.addModule(workletUrl);
  ready.set(context, loaded);
  await loaded;
  await context.resume();
  const node = new AudioWorkletNode(context, "capture");
  node.port.onmessage = (event: MessageEvent<Piece>) => hear(event.data);
  node.connect(context.destination); // it gives silence, but unless it leads somewhere it is not run
  return node;
}

function rateOf(context: AudioContext): number {
  return context.sampleRate / Math.ceil(context.sampleRate / 48_000);
}

export async function fromMicrophone(context: AudioContext, hear: (piece: Piece) => void): Promise<Capture> {
  if (!navigator.mediaDevices) throw new Error("The microphone needs https or localhost in this browser.");
  const media = await navigator.mediaDevices
    .getUserMedia({ audio: { channelCount: 1, echoCancellation: false, noiseSuppression: true, autoGainControl: true } })
    .catch((error: unknown) => {
      throw new Error(refusal(error));
    });
  const node = await captureNode(context, hear);
  const source = context.createMediaStreamSource(media);
  source.connect(node);
  return {
    rate: rateOf(context),
    delay: () => undefined,
    stop: () => {
      source.disconnect();
      node.disconnect();
      node.port.onmessage = null;
      for (const track of media.getTracks()) track.stop();
    },
  };
}

export async function fromSound(
  context: AudioContext,
  sound: AudioBuffer,
  hear: (piece: Piece) => void,
  onend: () => void,
): Promise<Capture> {
  const node = await captureNode(context, hear);
  const source = context.createBufferSource();
  const heard = context.createDelay(5);
  source.buffer = sound;
  source.connect(node);
  source.connect(heard).connect(context.destination);
  source.onended = onend;
  source.start();
  return {
    rate: rateOf(context),
    delay: (seconds) => heard.delayTime.setTargetAtTime(seconds, context.currentTime, 0.05),
    stop: () => {
      source.onended = null;
      source.stop();
      source.disconnect();
      node.disconnect();
      heard.disconnect();
      node.port.onmessage = null;
    },
  };
}

function refusal(error: unknown): string {
  const name = error instanceof DOMException ? error.name : "";
  if (name === "NotAllowedError") return "The browser was not allowed to use the microphone.";
  if (name === "NotFoundError") return "There is no microphone.";
  return `The microphone does not start: ${error instanceof Error ? error.message : String(error)}`;
}
