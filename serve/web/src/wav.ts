/** Samples -> 16-bit sound, as the service hears it and as a file. */

export function toPcm(samples: Float32Array): Int16Array<ArrayBuffer> {
  const pcm = new Int16Array(samples.length);
  for (let n = 0; n < pcm.length; n++) pcm[n] = Math.round(Math.max(-1, Math.min(1, samples[n])) * 32767);
  return pcm;
}

/** A mono wav file of 16-bit pieces. */
export function toWav(pieces: Int16Array<ArrayBuffer>[], rate: number): Blob {
  const bytes = 2 * pieces.reduce((sum, piece) => sum + piece.length, 0);
  const head = new DataView(new ArrayBuffer(44));
  const text = (at: number, letters: string): void => {
    [...letters].forEach((letter, k) => head.setUint8(at + k, letter.charCodeAt(0)));
  };
  text(0, "RIFF");
  head.setUint32(4, 36 + bytes, true);
  text(8, "WAVEfmt ");
  head.setUint32(16, 16, true);
  head.setUint16(20, 1, true); // PCM
  head.setUint16(22, 1, true);
  head.setUint32(24, rate, true);
  head.setUint32(28, 2 * rate, true);
  head.setUint16(32, 2, true);
  head.setUint16(34, 16, true);
  text(36, "data");
  head.setUint32(40, bytes, true);
  return new Blob([head, ...pieces], { type: "audio/wav" });
}
