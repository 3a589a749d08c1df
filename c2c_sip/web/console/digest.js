/* SHA-1 of a text, as Kazoo's sign-in has it. Of our own, since crypto.subtle is missing in pages that came without TLS. */

export const sha1 = (text) => {
  const given = new TextEncoder().encode(text);
  const blocks = (given.length + 72) >> 6;
  const octets = new DataView(new ArrayBuffer(blocks * 64));
  given.forEach((octet, at) => octets.setUint8(at, octet));
  octets.setUint8(given.length, 128);
  octets.setUint32(blocks * 64 - 4, given.length * 8);
  const turn = (x, n) => (x << n) | (x >>> (32 - n));
  let state = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0];
  const w = new Int32Array(80);
  for (let block = 0; block < blocks; block++) {
    for (let i = 0; i < 80; i++)
      w[i] = i < 16 ? octets.getInt32(block * 64 + i * 4) : turn(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    let [a, b, c, d, e] = state;
    for (let i = 0; i < 80; i++) {
      const [f, k] =
        i < 20 ? [(b & c) | (~b & d), 0x5a827999]
        : i < 40 ? [b ^ c ^ d, 0x6ed9eba1]
        : i < 60 ? [(b & c) | (b & d) | (c & d), 0x8f1bbcdc]
        : [b ^ c ^ d, 0xca62c1d6];
      const t = (turn(a, 5) + f + e + k + w[i]) | 0;
      [e, d, c, b, a] = [d, c, turn(b, 30), a, t];
    }
    state = [a, b, c, d, e].map((x, i) => (x + state[i]) | 0);
  }
  return state.map((x) => (x >>> 0).toString(16).padStart(8, "0")).join("");
};
