/** Morph targets of any model -> the channels they are, whatever way their names are spelt. */

export interface Fit {
  /** Name of a morph target -> channel. */
  found: Map<string, string>;
  missing: string[];
}

function spellings(channel: string): string[] {
  const whole = channel.toLowerCase();
  const sided = /^(.*?)(Left|Right)$/.exec(channel);
  if (!sided) return [whole];
  const stem = sided[1].toLowerCase();
  const side = sided[2].toLowerCase();
  const short = side[0];
  // jawLeft, jawRight, mouthLeft and mouthRight name a direction, not a side: "jaw_L" would be a guess.
  if (stem === "jaw" || stem === "mouth") return [whole];
  return [whole, stem + short, side + stem, short + stem];
}

/** "A14_Eye_Blink_Left", "Head.eyeBlink_L", "bs:EyeBlinkL" -> their words in small letters. */
function words(name: string): string[] {
  return name
    .replace(/([a-z0-9])([A-Z])/g, "$1 $2")
    .split(/[^A-Za-z0-9]+/)
    .filter(Boolean)
    .map((word) => word.toLowerCase());
}

/** Find each channel among the names of morph targets; a name may begin with words of its own. */
export function fit(targets: Iterable<string>, channels: readonly string[]): Fit {
  const known = new Map(channels.flatMap((channel) => spellings(channel).map((s) => [s, channel] as const)));
  const found = new Map<string, string>();
  for (const target of targets) {
    const parts = words(target);
    for (let from = 0; from < parts.length; from++) {
      const channel = known.get(parts.slice(from).join(""));
      if (channel) {
        found.set(target, channel);
        break;
      }
    }
  }
  const there = new Set(found.values());
  return { found, missing: channels.filter((channel) => !there.has(channel)) };
}
