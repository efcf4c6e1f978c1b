/** Runs beside the sound card: mono samples in pieces of about 20 ms, at 48 kHz or less, with their place in time. */

declare const sampleRate: number;
declare const currentFrame: number;
declare class AudioWorkletProcessor {
  readonly port: MessagePort;
}
declare function registerProcessor(name: string, processor: typeof AudioWorkletProcessor): void;

const MOST = 48_000; // the service takes no more
const PIECE = 0.02;

class Capture extends AudioWorkletProcessor {
  private readonly every = Math.ceil(sampleRate / MOST);
  private readonly piece = new Float32Array(Math.round((sampleRate / this.every) * PIECE));
  private filled = 0;
  private began = 0;
  private sum = 0;
  private summed = 0;

  process(inputs: Float32Array[][]): boolean {
    const channels = inputs[0];
    if (!channels?.length) return true;
    for (let n = 0; n < channels[0].length; n++) {
      if (!this.filled && !this.summed) this.began = (currentFrame + n) / sampleRate;
      for (const channel of channels) this.sum += channel[n] / channels.length;
      if (++this.summed === this.every) this.take(this.sum / this.every);
    }
    return true;
  }

  private take(sample: number): void {
    this.sum = this.summed = 0;
    this.piece[this.filled++] = sample;
    if (this.filled < this.piece.length) return;
    this.filled = 0;
    this.port.postMessage({ samples: this.piece.slice(), began: this.began });
  }
}

registerProcessor("capture", Capture);
