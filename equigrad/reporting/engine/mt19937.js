"use strict";
// NumPy's legacy generator, np.random.RandomState(seed).random_sample(): a seed draws the same first weights here as there.
// M. Matsumoto and T. Nishimura, "Mersenne Twister", ACM TOMACS 8, 1998; its 2002 initialisation.

class MT19937 {
  constructor(seed) {
    this.state = new Uint32Array(624);
    this.at = 624;
    this.state[0] = seed;
    for (let i = 1; i < 624; i++) {
      const before = this.state[i - 1] ^ (this.state[i - 1] >>> 30);
      this.state[i] = Math.imul(1812433253, before) + i;
    }
  }

  // 32 random bits.
  next() {
    const s = this.state;
    if (this.at === 624) {
      for (let i = 0; i < 624; i++) {
        const y = (s[i] & 0x80000000) | (s[(i + 1) % 624] & 0x7fffffff);
        s[i] = s[(i + 397) % 624] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
      }
      this.at = 0;
    }
    let y = s[this.at++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  // Uniform in [0, 1), 53 bits.
  randomSample() {
    const high = this.next() >>> 5, low = this.next() >>> 6;
    return (high * 67108864 + low) / 9007199254740992;
  }
}
