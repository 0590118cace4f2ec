"use strict";
// SHA-256, FIPS 180-4, of bytes. The browser's own is missing on pages served without TLS, and answers only later.

const firstBits = (root) => Math.floor((root - Math.floor(root)) * 2 ** 32);
const PRIMES = Array.from({ length: 310 }, (_, n) => n + 2).filter((n) => { for (let d = 2; d * d <= n; d++) if (n % d === 0) return false; return true; }).slice(0, 64);
const ROUND = PRIMES.map((p) => firstBits(p ** (1 / 3)));

function sha256(bytes) {
  const length = bytes.length, padded = new Uint8Array((((length + 8) >> 6) + 1) << 6), view = new DataView(padded.buffer), w = new Uint32Array(64);
  const h = Uint32Array.from(PRIMES.slice(0, 8), (p) => firstBits(p ** (1 / 2))), turn = (x, n) => (x >>> n) | (x << (32 - n));
  padded.set(bytes);
  padded[length] = 0x80;
  view.setUint32(padded.length - 8, Math.floor(length / 2 ** 29));
  view.setUint32(padded.length - 4, length << 3);
  for (let block = 0; block < padded.length; block += 64) {
    for (let i = 0; i < 16; i++) w[i] = view.getUint32(block + 4 * i);
    for (let i = 16; i < 64; i++) {
      const x = w[i - 15], y = w[i - 2];
      w[i] = w[i - 16] + (turn(x, 7) ^ turn(x, 18) ^ (x >>> 3)) + w[i - 7] + (turn(y, 17) ^ turn(y, 19) ^ (y >>> 10));
    }
    let [a, b, c, d, e, f, g, k] = h;
    for (let i = 0; i < 64; i++) {
      const one = (k + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + ROUND[i] + w[i]) | 0;
      const two = ((turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      [k, g, f, e, d, c, b, a] = [g, f, e, (d + one) | 0, c, b, a, (one + two) | 0];
    }
    [a, b, c, d, e, f, g, k].forEach((v, i) => { h[i] += v; });
  }
  return [...h].map((v) => v.toString(16).padStart(8, "0")).join("");
}
