/** One clock for sound and face: the sound card's. */

export class Clock {
  private context_: AudioContext | null = null;
  private source: AudioBufferSourceNode | null = null;
  private sound: AudioBuffer | null = null;
  private began = 0; // on the sound card's clock
  private offset = 0; // in the sound
  seconds = 0;

  /** Called when the end is reached. */
  onend: () => void = () => undefined;

  /** Made when first needed: browsers want a gesture before sound. */
  get context(): AudioContext {
    this.context_ ??= new AudioContext({ latencyHint: "interactive" });
    return this.context_;
  }

  /** Seconds from a sample's turn on the clock until it is heard. */
  get outputLatency(): number {
    const context = this.context;
    return context.outputLatency || context.baseLatency || 0;
  }

  get playing(): boolean {
    return this.source !== null;
  }

  /** Second of the sound that is heard now. */
  get position(): number {
    if (!this.source) return this.offset;
    const heard = this.context.currentTime - this.began - this.outputLatency;
    return Math.min(this.seconds, Math.max(this.offset, this.offset + heard));
  }

  /** Take another sound; `sound` null: silence of that length. */
  load(sound: AudioBuffer | null, seconds: number): void {
    this.halt();
    this.sound = sound;
    this.seconds = seconds;
    this.offset = 0;
  }

  async play(): Promise<void> {
    if (this.source) return;
    await this.context.resume();
    if (this.source) return; // asked for twice while the sound card woke up
    if (this.offset >= this.seconds - 0.02) this.offset = 0;
    const source = this.context.createBufferSource();
    source.buffer = this.sound ?? this.context.createBuffer(1, Math.ceil(this.seconds * 8000) || 1, 8000);
    source.connect(this.context.destination);
    source.onended = () => {
      if (this.source !== source) return;
      this.source = null;
      this.offset = this.seconds;
      this.onend();
    };
    this.began = this.context.currentTime;
    source.start(0, this.offset);
    this.source = source;
  }

  pause(): void {
    const at = this.position;
    this.halt();
    this.offset = at;
  }

  seek(second: number): void {
    const wasPlaying = this.playing;
    this.halt();
    this.offset = Math.min(this.seconds, Math.max(0, second));
    if (wasPlaying) void this.play();
  }

  private halt(): void {
    const source = this.source;
    this.source = null;
    source?.stop();
    source?.disconnect();
  }
}
