// Unpacks .tfcz files in a browser or in node; FORMAT.md describes the format.
//
//   const bytes = unpackTfcz(new Uint8Array(await (await fetch("model.tfcz")).arrayBuffer()));
//
// Throws an Error when the file is damaged, is larger than `maxBytes`, or is no .tfcz.
"use strict";

/* PRIMER BEGIN: embed_primer.py writes what follows */
const PRIMER = [
  "HAAAAFRGTDMUACAAHAAYABQAEAAMAAAACAAEABQAAAAcAAAAjAAAAOQAAAB0BwAAhAcAAIQXAAADAAAAAQAAABAAAAAAAAoAEAAM",
  "AAgABAAKAAAADAAAABwAAAA4AAAADwAAAHNlcnZpbmdfZGVmYXVsdAABAAAABAAAAJz///8QAAAABAAAAAcAAABkZW5zZV8xAAEA",
  "AAAEAAAAbvj//wQAAAAFAAAAaW1hZ2UAAAACAAAANAAAAAQAAADc////CgAAAAQAAAATAAAAQ09OVkVSU0lPTl9NRVRBREFUQQAI",
  "AAwACAAEAAgAAAAJAAAABAAAABMAAABtaW5fcnVudGltZV92ZXJzaW9uAAwAAACMBgAA/AUAAKQFAABUBAAARAIAABQCAAD8AQAA",
  "rAEAAMQAAACkAAAANAAAAAQAAAAS+f//BAAAACAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAD75//8EAAAAYAAA",
  "ABAAAAAAAAAACAAOAAgABAAIAAAAEAAAACQAAAAAAAYACAAEAAYAAAAEAAAAAAAAAAwAGAAUABAADAAEAAwAAACAJPlfiZHY1QMA",
  "AAACAAAABAAAAAYAAAAyLjIxLjAAAKr5//8EAAAAEAAAADEuNi4wAAAAAAAAAAAAAADG+f//BAAAANgAAACq+v//BAAAAEAAAAD2",
  "+v//BAAAAAgAAAABAAAAAgAAAAr7//8EAAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAANvv//wQAAAAAAgAA",
  "Qv3//wQAAABAAQAAjv7//wQAAABIAAAA4v7//wQAAACAAAAAYPb//w8AAABNTElSIENvbnZlcnRlZC4AAQAAABQAAAAAAA4AGAAU",
  "ABAADAAIAAQADgAAABQAAAAcAAAAfAIAAIACAACEAgAABAAAAG1haW4AAAAACAAAABQCAACoAQAAVAEAAAABAADMAAAAeAAAAEAA",
  "AAAEAAAAgv7//xwAAAAAAAAJHAAAACAAAAAFAAAAAAAGAAgABAAGAAAAAACAPwEAAAAQAAAAAQAAAA8AAACK////FAAAAAAAAAgQ",
  "AAAAFAAAAAQAAAAo9///AQAAAA8AAAADAAAADgAAAAMAAAD/////7v7//xwAAAAAAAAIHAAAACAAAAAEAAAAAAAGAAgABwAGAAAA",
  "AAAAAQEAAAAOAAAAAwAAAA0AAAAEAAAA/////wAADgAYABQAEAAMAAsABAAOAAAAFAAAAAAAABsQAAAAFAAAAAMAAACs9///AQAA",
  "AA0AAAACAAAADAAAAAYAAABu////JAAAAAAAAAU0AAAAOAAAAAIAAAAAAA4AGAAXABAADAAIAAQADgAAAAIAAAACAAAAAgAAAAIA",
  "AAAAAAABAQAAAAwAAAABAAAACwAAAFb///8QAAAAAAAAARwAAAAgAAAASP///wAAAAMBAAAAAQAAAAAAAAEBAAAACwAAAAMAAAAK",
  "AAAAAQAAAAcAAAAAAA4AGgAUABAADAALAAQADgAAACQAAAAAAAACNAAAADgAAAABAAAAAAAOABgAFwAQAAwACAAHAA4AAAAAAAAB",
  "AQAAAAEAAAABAAAAAAAAAQEAAAAKAAAAAwAAAAkAAAACAAAABQAAAAAADgAUAAAAEAAMAAsABAAOAAAAHAAAAAAAAAEoAAAALAAA",
  "AAwAFAATAAwACAAHAAwAAAAAAAABAQAAAAEAAAAAAAABAQAAAAkAAAADAAAAAAAAAAgAAAARAAAAAQAAABAAAAABAAAAAAAAABIA",
  "AADcDAAAmAsAAJQKAACgCQAAxAcAABAHAACgBgAAkAUAAMQEAAA8BAAAoAMAABQDAACYAgAAJAIAAKgBAAA8AQAA0AAAABQAAAAA",
  "AA4AGAAUABMADAAIAAQADgAAABQAAACEAAAACwAAAAAAAAKcAAAAfPP//wgAAABIAAAACAAAAAgAAABsb/w2iRvxNoDo8jZ7QPY2",
  "pXbdNjzw+TaRCuw2pk34NhwAAABhcml0aC5jb25zdGFudF9kdXBsaWNhdGVkXzE3AAAAAAEAAAAIAAAASvT//wAAAAEQAAAAMAAA",
  "AAAAAAlIAAAANPT//wgAAAAUAAAAAQAAAID/////////AAAAAAEAAAAAAIA7GQAAAFN0YXRlZnVsUGFydGl0aW9uZWRDYWxsOjAA",
  "AAACAAAAAQAAAAoAAACy9P//AAAAARAAAAAwAAAAAAAACUgAAACc9P//CAAAABQAAAABAAAA+P////////8AAAAAAQAAAHebrDkZ",
  "AAAAbW9kZWxfMS9kZW5zZV8xXzIvTWF0TXVsMQAAAAIAAAABAAAACgAAABr1//8AAAABEAAAADAAAAAAAAAJWAAAAAT1//8IAAAA",
  "FAAAAAEAAACA/////////wAAAAABAAAAB0FYOSsAAABtb2RlbF8xL2RlbnNlXzEvTWF0TXVsO21vZGVsXzEvZGVuc2VfMS9SZWx1",
  "AAIAAAABAAAAIAAAAJL1//8AAAABEAAAACwAAAAAAAAJUAAAAHz1//8IAAAAEAAAAAEAAACA/////////wEAAADqyVk5JwAAAG1v",
  "ZGVsXzEvZ2xvYmFsX2F2ZXJhZ2VfcG9vbGluZzJkXzEvTWVhbgACAAAAAQAAABAAAAAC9v//AAAAARAAAAAwAAAAAAAACVAAAADs",
  "9f//CAAAABQAAAABAAAAgP////////8AAAAAAQAAAF/8/jkhAAAAbW9kZWxfMS9tYXhfcG9vbGluZzJkXzEvTWF4UG9vbDJkAAAA",
  "BAAAAAEAAAAGAAAABgAAABAAAAB69v//AAAAARAAAAAsAAAAAAAACWAAAABk9v//CAAAABAAAAABAAAAgP////////8BAAAAX/z+",
  "OTcAAABtb2RlbF8xL2NvbnYyZF8xXzIvUmVsdTY7bW9kZWxfMS9jb252MmRfMV8yL2NvbnZvbHV0aW9uAAQAAAABAAAADAAAAAwA",
  "AAAQAAAAAvf//wAAAAEQAAAALAAAAAAAAAlwAAAA7Pb//wgAAAAQAAAAAQAAAID/////////AQAAAHXXrDpEAAAAbW9kZWxfMS9k",
  "ZXB0aHdpc2VfY29udjJkXzEvUmVsdTttb2RlbF8xL2RlcHRod2lzZV9jb252MmRfMS9kZXB0aHdpc2UAAAAABAAAAAEAAAAMAAAA",
  "DAAAAAgAAACa9///AAAAARAAAAAsAAAAAAAACVwAAACE9///CAAAABAAAAABAAAAgP////////8BAAAA19ejOzIAAABtb2RlbF8x",
  "L2NvbnYyZF8xL1JlbHU7bW9kZWxfMS9jb252MmRfMS9jb252b2x1dGlvbgAABAAAAAEAAAAOAAAADgAAAAgAAABe+f//AAAAARQA",
  "AACEAAAACAAAAAAAAAmcAAAADPj//wgAAABIAAAACAAAAAgAAAAyc/s6oSrwOsv18TpvSvU6XpncOoH2+Dq5Hus6jVX3OhwAAABt",
  "b2RlbF8xL2NvbnYyZF8xL2NvbnZvbHV0aW9uAAAAAAQAAAAIAAAAAwAAAAMAAAADAAAAJvr//wAAAAEUAAAA5AAAAAcAAAAAAAAC",
  "7AAAANT4//8IAAAAiAAAABAAAAAQAAAADwAAAGFyaXRoLmNvbnN0YW50MQABAAAAEAAAADL7//8AAAABGAAAABgAAAAGAAAAAAAA",
  "AkwAAAAEAAQABAAAADkAAABtb2RlbF8xL2dsb2JhbF9hdmVyYWdlX3Bvb2xpbmcyZF8xL01lYW4vcmVkdWN0aW9uX2luZGljZXMA",
  "AAABAAAAAgAAAJ77//8AAAABFAAAAIgAAAAFAAAAAAAAApAAAABM+v//CAAAAEwAAAAIAAAAAAAAAAgAAACDyDI3SsQzNwbDGje3",
  "liI3GeYSN+U5LDdGufk2Na0vNw4AAABhcml0aC5jb25zdGFudAAAAQAAAAgAAABO/P//AAAAARQAAACkAQAABAAAAAAAAAm0AQAA",
  "/Pr//wgAAAAIAQAAIAAAACAAAAAWAAAAbW9kZWxfMS9kZW5zZV8xL01hdE11bAAAAgAAACAAAAAQAAAAJv7//wAAAAEUAAAAoAAA",
  "AAMAAAAAAAAJtAAAANT8//8IAAAAXAAAAAoAAAAAAAAACgAAANUXPTt8vkE7K7NAOwtTQDsRv0E7QlQ/O3h7Qjv/AD87KRk8OxvW",
  "QTsYAAAAbW9kZWxfMS9kZW5zZV8xXzIvTWF0TXVsAAAAAAIAAAAKAAAAIAAAAAAAFgAeABgAFwAQAAwACAAAAAAAAAAHABYAAAAA",
  "AAABKAAAAJwAAAACAAAAAAAACbwAAAAAABIAEAAAAAAADAAIAAAAAAAEABIAAAADAAAACAAAAEgAAAAIAAAACAAAAPirCzuqcAw7",
  "i8/xOkEK/jpohuU6k4wGO8sXwzqmPgk7JAAAAG1vZGVsXzEvZGVwdGh3aXNlX2NvbnYyZF8xL2RlcHRod2lzZQAAAAAEAAAAAQAA",
  "AAMAAAADAAAACAAAAAAAFgAcABgAFwAQAAwACAAAAAAAAAAHABYAAAAAAAABFAAAAOQAAAABAAAAAAAACfwAAADE/v//CAAAAIgA",
  "AAAQAAAAEAAAAB4AAABtb2RlbF8xL2NvbnYyZF8xXzIvY29udm9sdXRpb24AAAQAAAAQAAAAAQAAAAEAAAAIAAAAAAAWABgAFAAT",
  "AAAADAAIAAAAAAAAAAcAFgAAAAAAAAEcAAAAOAAAAAAAAAlMAAAADAAMAAAAAAAIAAQADAAAAAgAAAAQAAAAAQAAAID/////////",
  "AQAAAGWAgDsXAAAAc2VydmluZ19kZWZhdWx0X2ltYWdlOjAABAAAAAEAAAAQAAAAEAAAAAMAAAAGAAAAYAAAAEQAAAA0AAAAJAAA",
  "ABQAAAAEAAAAxP///xkAAAAAAAAZ0P///wkAAAAAAAAJ3P///ygAAAAAAAAo6P///xEAAAAAAAAR9P///wQAAAAAAAAEDAAMAAsA",
  "AAAAAAQADAAAAAMAAAAAAAAD",
].join("");
/* PRIMER END */

const KNOTS = [
  22, 28, 36, 47, 60, 77, 98, 126, 162, 208, 267, 342, 439, 562, 720, 922,
  1179, 1506, 1921, 2446, 3108, 3938, 4971, 6249, 7812, 9702, 11955, 14595, 17625, 21025, 24743, 28693,
  32768, 36843, 40793, 44511, 47911, 50941, 53581, 55834, 57724, 59287, 60565, 61598, 62428, 63090, 63615, 64030,
  64357, 64614, 64816, 64974, 65097, 65194, 65269, 65328, 65374, 65410, 65438, 65459, 65476, 65489, 65500, 65508,
  65514,
];
const MAX_LANES = 4096, MAX_GROUPS = 1023, MAX_SEGMENTS = 65535, MAX_PERIOD = 65536, MOST_BYTES = 2 ** 29 - 1;
const [NONE, MEAN, SIGNED, COLUMN, PLANE, UNIFORM, PREDICTED, CONSTANT] = [0, 1, 2, 3, 4, 5, 6, 15];
const CONTEXTS_OF = [1, 32, 52, 64, 16, 1, 32];
const TAPS = 4, CLASSES = 29, LEAST_STATE = 65536, QUICK = 3;

function expect(holds, what) {
  if (!holds) throw new Error(`a damaged .tfcz: ${what}; copy or make the file again`);
}

class Reader {
  constructor(data, position = 0) {
    this.data = data;
    this.position = position;
  }

  byte() {
    expect(this.position < this.data.length, "it ends too early");
    return this.data[this.position++];
  }

  varint(limit) {
    let value = 0, scale = 1, byte;
    do {
      expect(scale < 2 ** 35, "a number is cut off");
      byte = this.byte();
      value += (byte & 127) * scale;
      scale *= 128;
    } while (byte > 127);
    expect(value <= limit, "a number is too large");
    return value;
  }
}

function readHeader(data) {
  if (data.length < 4 || data[0] !== 84 || data[1] !== 70 || data[2] !== 90) throw new Error("not a .tfcz");
  if (data[3] < 1 || data[3] > QUICK) throw new Error(`a .tfcz of version ${data[3]}, expected 1, 2 or 3`);
  expect(data.length >= 9 && (data[3] === QUICK ? data[8] === 0 : data[8] >= 12 && data[8] <= 20), "its header is wrong");
  const reader = new Reader(data, 9);
  const header = { version: data[3], checksum: new DataView(data.buffer, data.byteOffset).getUint32(4, true), tableBits: data[8] };
  const limits = { size: 2 ** 31 - 1, directory: 2 ** 22, rest: 2 ** 31 - 1, lanes: MAX_LANES, period: MAX_PERIOD };
  for (const name of Object.keys(limits)) header[name] = reader.varint(limits[name]);
  header.coded = reader.varint(data.length);
  header.begin = reader.position;
  expect(header.rest <= header.size, "its lengths do not fit together");
  expect(header.directory + header.rest <= header.size + 4096, "its lengths do not fit together");
  expect(header.begin + header.coded <= data.length, "its lengths do not fit together");
  return header;
}

// --- the byte model ------------------------------------------------------------------------------------------------

const SQUASH = new Uint16Array(4096);
const STRETCH = new Int16Array(4096);
const RATES = new Uint32Array(64);
for (let x = 0; x < 4096; x++) {
  const index = x >> 6, part = x & 63;
  SQUASH[x] = (KNOTS[index] * (64 - part) + (index < 64 ? KNOTS[index + 1] : 0) * part + 32) >> 6;
}
for (let p = 0, x = -2047; p < 4096; p++) {
  while (x < 2047 && SQUASH[x + 2048] < ((p << 4) | 8)) x++;
  STRETCH[p] = x;
}
for (let n = 0; n < 64; n++) RATES[n] = Math.floor(131072 / (2 * n + 3));

// What a slot (probability << 4 | times seen) becomes after a bit.
const UPDATED = [0, 1].map((bit) => {
  const table = new Uint16Array(65536);
  for (let slot = 0; slot < 65536; slot++) {
    let p = (slot & 0xfff0) | 8;
    const rate = RATES[slot & 15];
    p = bit ? p + (((65535 - p) * rate) >>> 16) : p - ((p * rate) >>> 16);
    table[slot] = (p & 0xfff0) | Math.min((slot & 15) + 1, 15);
  }
  return table;
});

function scrambled(value, salt) {
  value = Math.imul(value ^ (salt << 29), 0x9e3779b1);
  value ^= value >>> 15;
  value = Math.imul(value, 0x85ebca6b);
  return (value ^ (value >>> 13)) >>> 0;
}

class ByteModel {
  constructor(data, tableBits, bytes) {
    this.data = data;
    this.position = 0;
    this.known = -1; // the byte that is learned, or -1 while decoding
    this.low = 0;
    this.high = 0xffffffff;
    this.value = 0;
    for (let i = 0; i < 4; i++) this.value = ((this.value << 8) | this.next()) >>> 0;
    this.bits = tableBits;
    this.slots = new Uint16Array(2 ** tableBits).fill(0x8000);
    this.seenAt = new Uint32Array(2 ** (tableBits - 2));
    this.weights = Array.from({ length: 12 }, () => Float64Array.of(...Array(6).fill(19661), 16384, 0));
    this.matchSlots = new Uint16Array(16).fill(0x8000);
    this.hits = new Uint16Array(32 + 4096).fill(60000);
    this.hitsSeen = new Uint8Array(32 + 4096);
    this.history = new Uint8Array(16 + bytes);
    this.end = 16;
    this.length = 0;
    this.pointer = 0;
    this.inputs = new Int32Array(8);
    this.inputs[7] = 256;
    this.at = new Int32Array(6);
  }

  next() {
    return this.position < this.data.length ? this.data[this.position++] : 0;
  }

  decision(probability, known) {
    if (this.known >= 0) return known;
    const range = this.high - this.low;
    const middle = this.low + Math.floor(range / 65536) * probability + (((range % 65536) * probability) >>> 16);
    const bit = this.value <= middle ? 1 : 0;
    if (bit) this.high = middle;
    else this.low = middle + 1;
    while (((this.low ^ this.high) >>> 0) < 0x1000000) {
      this.low = (this.low << 8) >>> 0;
      this.high = ((this.high << 8) | 255) >>> 0;
      this.value = ((this.value << 8) | this.next()) >>> 0;
    }
    return bit;
  }

  learn(bytes) {
    for (let i = 0; i < bytes.length; i++) {
      this.known = bytes[i];
      this.byte(i & 3);
    }
    this.known = -1;
    // What was learned is held to have been seen once, so that the file itself soon counts for more.
    for (const slots of [this.slots, this.matchSlots]) {
      for (let i = 0; i < slots.length; i++) slots[i] = (slots[i] & 0xfff0) | (slots[i] & 15 ? 1 : 0);
    }
    for (let i = 0; i < this.hitsSeen.length; i++) this.hitsSeen[i] = this.hitsSeen[i] ? 1 : 0;
  }

  byte(phase) {
    let byte = this.length >= 12 ? this.agreement(phase) : -1;
    if (byte < 0) byte = this.mixed(phase);
    this.follow(byte);
    return byte;
  }

  agreement(phase) {
    const foretold = this.history[this.pointer], length = this.length;
    const bucket = length < 64 ? (length >= 16) + (length >= 24) + (length >= 32) + (length >= 48)
      : 5 + (length >= 128) + (length >= 400);
    const at = [(bucket << 2) | phase, 32 + (scrambled(foretold | (this.history[this.end - 1] << 8), phase) & 4095)];
    const sum = ((STRETCH[this.hits[at[0]] >> 4] + STRETCH[this.hits[at[1]] >> 4]) * 5) >> 3;
    const hit = this.decision(SQUASH[Math.max(-2047, Math.min(2047, sum)) + 2048], this.known === foretold ? 1 : 0);
    for (const i of at) {
      const p = this.hits[i], rate = RATES[this.hitsSeen[i]];
      this.hits[i] = hit ? p + (((65535 - p) * rate) >>> 16) : p - ((p * rate) >>> 16);
      if (this.hitsSeen[i] < 60) this.hitsSeen[i]++;
    }
    return hit ? foretold : -1;
  }

  mixed(phase) {
    const h = this.history, e = this.end, inputs = this.inputs, at = this.at, mask = 2 ** this.bits - 1;
    const contexts = [
      scrambled(phase, 1),
      scrambled((h[e - 1] << 2) | phase, 2),
      scrambled((h[e - 4] << 2) | phase, 3),
      scrambled(h[e - 1] | (h[e - 2] << 8) | (h[e - 3] << 16), 4),
      scrambled(((h[e - 12] | (h[e - 16] << 8)) << 2) | phase, 5),
      scrambled(((h[e - 8] | (h[e - 4] << 8) | (h[e - 1] << 16)) << 2) | phase, 6),
    ];
    const length = Math.min(this.length, 15), foretold = this.length ? h[this.pointer] | 256 : 0;
    const row = (length === 0 ? 0 : length < 9 ? 4 : 8) + phase;
    let node = 1;
    for (let place = 7; place >= 0; place--) {
      const follows = foretold >> (place + 1) === node, expected = (foretold >> place) & 1;
      const w = this.weights[follows ? row : phase];
      for (let i = 0; i < 6; i++) {
        at[i] = (contexts[i] + Math.imul(node, 0x9e3779b1)) & mask;
        inputs[i] = STRETCH[this.slots[at[i]] >> 4];
      }
      inputs[6] = 0;
      if (follows) {
        const x = STRETCH[this.matchSlots[length] >> 4];
        inputs[6] = expected ? x : -x;
      }
      let dot = 0;
      for (let i = 0; i < 8; i++) dot += inputs[i] * w[i];
      dot = Math.floor(dot / 65536);
      const probability = SQUASH[dot < -2047 ? 1 : dot > 2047 ? 4095 : dot + 2048];
      const bit = this.decision(probability, (this.known >> place) & 1);
      const error = ((bit * 65535 - probability) >> 4) * 6;
      for (let i = 0; i < 8; i++) w[i] += (inputs[i] * error + 8192) >> 14;
      const after = UPDATED[bit];
      for (let i = 0; i < 6; i++) this.slots[at[i]] = after[this.slots[at[i]]];
      if (follows) this.matchSlots[length] = UPDATED[bit === expected ? 1 : 0][this.matchSlots[length]];
      node = (node << 1) | bit;
    }
    return node & 255;
  }

  follow(byte) {
    const h = this.history;
    if (this.length && h[this.pointer] === byte) {
      this.length = Math.min(this.length + 1, 65535);
      this.pointer++;
    } else {
      this.length = 0;
    }
    h[this.end++] = byte;
    const e = this.end;
    const low = h[e - 6] | (h[e - 5] << 8) | (h[e - 4] << 16) | (h[e - 3] << 24);
    const place = scrambled(low ^ Math.imul(h[e - 2] | (h[e - 1] << 8), 0x2c1b3c6d), 7) >>> (34 - this.bits);
    if (this.length === 0) {
      const candidate = (this.pointer = this.seenAt[place]);
      let length = 0;
      while (length < 32 && length < candidate && h[candidate - 1 - length] === h[e - 1 - length]) length++;
      this.length = length < 6 ? 0 : length;
    }
    this.seenAt[place] = e;
  }
}

// --- LZMA: directory and rest of large files, with lc = 0, lp = 2, pb = 2 ------------------------------------------

const odds = (count) => new Uint16Array(count).fill(1024);

class LengthDecoder {
  constructor() {
    this.choice = odds(2);
    this.low = [0, 1, 2, 3].map(() => odds(8));
    this.middle = [0, 1, 2, 3].map(() => odds(8));
    this.high = odds(256);
  }

  next(lzma) {
    const position = lzma.at & 3;
    if (!lzma.bit(this.choice, 0)) return lzma.tree(this.low[position], 3);
    if (!lzma.bit(this.choice, 1)) return 8 + lzma.tree(this.middle[position], 3);
    return 16 + lzma.tree(this.high, 8);
  }
}

class Lzma {
  constructor(data, count) {
    this.data = data;
    this.position = 0;
    this.output = new Uint8Array(count);
    this.at = 0;
    this.state = 0;
    this.distances = [0, 0, 0, 0];
    this.range = 0xffffffff;
    this.code = 0;
    expect(this.next() === 0, "its directory is damaged");
    for (let i = 0; i < 4; i++) this.code = ((this.code << 8) | this.next()) >>> 0;
    this.match = odds(48);
    this.repeat = odds(12);
    this.repeatAt = [0, 1, 2].map(() => odds(12));
    this.shortRepeat = odds(48);
    this.slot = [0, 1, 2, 3].map(() => odds(64));
    this.special = odds(115);
    this.align = odds(16);
    this.literals = [0, 1, 2, 3].map(() => odds(0x300));
    this.lengths = new LengthDecoder();
    this.repeatLengths = new LengthDecoder();
  }

  next() {
    return this.position < this.data.length ? this.data[this.position++] : 0;
  }

  normalize() {
    if (this.range >= 2 ** 24) return;
    this.range = (this.range << 8) >>> 0;
    this.code = ((this.code << 8) | this.next()) >>> 0;
  }

  bit(table, i) {
    const bound = (this.range >>> 11) * table[i], bit = this.code >= bound ? 1 : 0;
    if (bit) {
      this.code -= bound;
      this.range -= bound;
      table[i] -= table[i] >> 5;
    } else {
      this.range = bound;
      table[i] += (2048 - table[i]) >> 5;
    }
    this.normalize();
    return bit;
  }

  tree(table, bits) {
    let node = 1;
    for (let i = 0; i < bits; i++) node = (node << 1) | this.bit(table, node);
    return node - (1 << bits);
  }

  reverseTree(table, base, bits) {
    let node = 1, value = 0;
    for (let i = 0; i < bits; i++) {
      const bit = this.bit(table, base + node);
      node = (node << 1) | bit;
      value |= bit << i;
    }
    return value;
  }

  distance(length) {
    const slot = this.tree(this.slot[Math.min(length, 3)], 6), bits = (slot >> 1) - 1;
    if (slot < 4) return slot;
    const distance = (2 | (slot & 1)) * 2 ** bits;
    if (slot < 14) return distance + this.reverseTree(this.special, distance - slot, bits);
    let straight = 0;
    for (let i = 0; i < bits - 4; i++) {
      this.range >>>= 1;
      const bit = this.code >= this.range ? 1 : 0;
      if (bit) this.code -= this.range;
      straight = straight * 2 + bit;
      this.normalize();
    }
    return distance + straight * 16 + this.reverseTree(this.align, 0, 4);
  }

  literal() {
    const table = this.literals[this.at & 3];
    let symbol = 1, follows = this.state >= 7, foretold = follows ? this.output[this.at - this.distances[0] - 1] : 0;
    while (symbol < 256) {
      const expected = (foretold >> 7) & 1;
      foretold <<= 1;
      const bit = this.bit(table, follows ? ((1 + expected) << 8) + symbol : symbol);
      follows = follows && bit === expected;
      symbol = (symbol << 1) | bit;
    }
    this.output[this.at++] = symbol & 255;
    this.state = this.state < 4 ? 0 : this.state < 10 ? this.state - 3 : this.state - 6;
  }

  // A distance that was used before goes to the front; the number of bytes less 2, or -1 for a single byte.
  repeated() {
    let which = 0;
    if (!this.bit(this.repeatAt[0], this.state)) {
      if (!this.bit(this.shortRepeat, this.state * 4 + (this.at & 3))) return -1;
    } else {
      which = this.bit(this.repeatAt[1], this.state) ? 2 + this.bit(this.repeatAt[2], this.state) : 1;
    }
    this.distances.unshift(this.distances.splice(which, 1)[0]);
    return this.repeatLengths.next(this);
  }

  copy() {
    let length;
    if (this.bit(this.repeat, this.state)) {
      length = this.repeated();
      this.state = length < 0 ? (this.state < 7 ? 9 : 11) : this.state < 7 ? 8 : 11;
    } else {
      length = this.lengths.next(this);
      this.distances.unshift(this.distance(length));
      this.distances.pop();
      this.state = this.state < 7 ? 7 : 10;
    }
    const back = this.distances[0] + 1;
    expect(back <= this.at && back <= 2 ** 20, "its directory is damaged");
    const end = Math.min(this.at + length + 2, this.output.length);
    for (; this.at < end; this.at++) this.output[this.at] = this.output[this.at - back];
  }

  decode() {
    while (this.at < this.output.length) {
      if (this.bit(this.match, this.state * 4 + (this.at & 3))) this.copy();
      else this.literal();
    }
    return this.output;
  }
}

// --- the directory ---------------------------------------------------------------------------------------------------

function readPlane(reader, steps, first, version) {
  const head = reader.byte(), centre = reader.byte();
  if (head === CONSTANT) return { kind: CONSTANT, centre };
  const kind = head & 15, values = head >> 4;
  expect(kind <= (version === 1 ? UNIFORM : PREDICTED) && values < 3 && !(first && kind === PLANE), "the kind of a plane is wrong");
  const plane = { kind, centre, decay: 4, mean: 0, period: 0, taps: null, present: new Uint8Array(256).fill(1) };
  if (kind === UNIFORM) return plane;
  plane.decay = reader.byte();
  plane.mean = reader.byte() * 512;
  expect(plane.decay >= 1 && plane.decay <= 8, "a decay is wrong");
  if (kind === COLUMN) {
    plane.period = reader.varint(MAX_PERIOD);
    expect(plane.period > 0 && steps % plane.period === 0, "a period is wrong");
  }
  if (kind === PREDICTED) plane.taps = Array.from({ length: TAPS }, () => (reader.byte() << 24) >> 24);
  if (values === 1) {
    const lowest = reader.byte(), highest = reader.byte();
    plane.present = plane.present.map((_, i) => (i >= lowest && i <= highest ? 1 : 0));
  } else if (values === 2) {
    const bitmap = Array.from({ length: 32 }, () => reader.byte());
    plane.present = plane.present.map((_, i) => (bitmap[i >> 3] >> (i & 7)) & 1);
  }
  expect(plane.present.reduce((sum, one) => sum + one, 0) >= 2, "the values of a plane are wrong");
  return plane;
}

function readGroup(reader, version) {
  const head = reader.byte();
  const group = { width: 2 ** (head & 3), transform: (head >> 2) & 3, steps: 1, planes: [], count: 0, segments: [] };
  const filled = (head & 16) !== 0;
  expect(head < 32 && group.transform < 3, "the kind of a group is wrong");
  expect((group.transform !== 2 || group.width === 4) && !(filled && group.transform), "a transform is wrong");
  group.filled = filled;
  if (!filled) group.steps = reader.varint(2 ** 31 - 1);
  expect(group.steps > 0, "steps are wrong");
  for (let i = 0; i < group.width; i++) {
    // A filling is stored from the lowest byte, planes from the highest.
    group.planes.push(filled ? { kind: CONSTANT, centre: reader.byte() } : readPlane(reader, group.steps, i === 0, version));
  }
  if (filled) group.planes.reverse();
  return group;
}

function readDirectory(data, header) {
  const reader = new Reader(data), groups = [], segments = [];
  const size = header.size;
  for (let n = reader.varint(MAX_GROUPS); n > 0; n--) groups.push(readGroup(reader, header.version));
  let position = 0, rest = size;
  for (let n = reader.varint(MAX_SEGMENTS); n > 0; n--) {
    const number = reader.varint(MAX_GROUPS);
    expect(number < groups.length, "a group's number is wrong");
    const group = groups[number];
    const segment = { offset: position + reader.varint(size), count: reader.varint(size), columns: 0, width: group.width };
    expect(segment.count > 0 && segment.offset + segment.count * group.width <= size, "a segment is wrong");
    if (!group.filled) segment.columns = reader.varint(size);
    expect(segment.columns === 0 || segment.count % segment.columns === 0, "columns are wrong");
    if (group.transform === 2) {
      segment.source = reader.varint(size);
      expect(segment.source + 4 * segment.count <= size, "a source is wrong");
      const four = Uint8Array.from([reader.byte(), reader.byte(), reader.byte(), reader.byte()]);
      segment.factor = new DataView(four.buffer).getFloat32(0, true);
    }
    position = segment.offset + segment.count * group.width;
    rest -= segment.count * group.width;
    group.count += segment.count;
    group.segments.push(segment);
    segments.push(segment);
  }
  expect(reader.position === data.length && rest === header.rest, "its directory is wrong");
  for (const group of groups) {
    expect(group.count > 0 && (group.filled || group.steps <= group.count), "a group is wrong");
    if (!group.filled && group.planes.some((plane) => plane.kind !== CONSTANT)) {
      expect(Math.ceil(group.count / group.steps) <= header.lanes, "lanes are wrong");
    }
  }
  return { groups, segments };
}

// --- arrays ------------------------------------------------------------------------------------------------------------

function logStep(value) {
  if (value < 2) return value;
  const length = 32 - Math.clz32(value);
  return 2 * length - 2 + ((value >> (length - 2)) & 1);
}

const signedClass = (value) => Math.min(6, 32 - Math.clz32(Math.abs(value))) + (value < 0 ? 6 : 0);
const levelOf = (mean) => Math.min(31, logStep(mean >> 4));

class ArrayModel {
  constructor(plane, count) {
    this.plane = plane;
    this.bits = count < 8192 ? 12 : 14;
    this.contexts = CONTEXTS_OF[plane.kind];
    this.counts = new Float64Array(this.contexts * CLASSES);
    this.seen = new Float64Array(256);
    this.symbols = new Uint8Array(this.contexts << this.bits);
    this.frequencies = new Uint16Array(this.contexts * 256);
    this.starts = new Uint16Array(this.contexts * 256);
    this.classOf = new Uint8Array(256);
    this.size = new Uint8Array(256);
    for (let i = 0; i < 256; i++) {
      const away = (i - plane.centre) & 255, size = Math.min(away, 256 - away);
      const step = size >= 127 ? 14 : Math.min(13, logStep(size));
      this.size[i] = size;
      this.classOf[i] = size === 0 ? 0 : away < 128 ? step : step + 14;
    }
  }

  rebuild() {
    const ofClass = new Float64Array(CLASSES), { plane, seen, classOf } = this;
    let all = 0, room = 2 ** this.bits;
    for (let i = 0; i < 256; i++) {
      if (!plane.present[i]) continue;
      ofClass[classOf[i]] += seen[i] + 1;
      all += seen[i] + 1;
      room--;
    }
    const within = Float64Array.from(seen, (n, i) =>
      plane.present[i] ? Math.floor(((n + 1) * 65536) / ofClass[classOf[i]]) : 0);
    for (let c = 0; c < this.contexts; c++) this.rebuildContext(c, ofClass, within, all, room);
  }

  rebuildContext(context, ofClass, within, all, room) {
    const share = new Float64Array(CLASSES), { plane, classOf, bits, frequencies: f } = this, base = context * 256;
    let sum = 0, total = 0, largest = 0;
    for (let i = 0; i < CLASSES; i++) {
      share[i] = this.counts[context * CLASSES + i] * 256 + Math.floor((ofClass[i] * 12288) / all);
      sum += share[i];
    }
    for (let i = 0; i < CLASSES; i++) share[i] = Math.floor((share[i] * 65536) / sum);
    for (let i = 0; i < 256; i++) {
      const part = Math.floor((share[classOf[i]] * within[i]) / 65536);
      f[base + i] = plane.kind === UNIFORM ? 2 ** bits / 256
        : plane.present[i] ? Math.floor((part * room) / 65536) + 1 : 0;
      if (f[base + i] > f[base + largest]) largest = i;
      total += f[base + i];
    }
    f[base + largest] += 2 ** bits - total;
    for (let i = 0, start = 0; i < 256; i++) {
      this.starts[base + i] = start;
      this.symbols.fill(i, (context << bits) + start, (context << bits) + start + f[base + i]);
      start += f[base + i];
    }
  }
}

function predicted(taps, before, past) {
  let sum = 32;
  for (let i = 0; i < TAPS; i++) sum += taps[i] * before[past + i];
  return Math.max(-128, Math.min(127, sum >> 6));
}

class Arrays {
  constructor(data, lanes, output, seldom) {
    this.seldom = seldom; // the tables are made anew when as much again has been seen, not half as much
    expect(data.length >= 4 * lanes, "its arrays end too early");
    const view = new DataView(data.buffer, data.byteOffset, data.length);
    this.data = data;
    this.position = 4 * lanes;
    this.state = Uint32Array.from({ length: lanes }, (_, i) => view.getUint32(4 * i, true));
    expect(this.state.every((x) => x >= LEAST_STATE), "a lane's state is wrong");
    this.output = output;
  }

  cursors(group, lanes) {
    const ends = [];
    let sum = 0;
    for (const s of group.segments) ends.push((sum += s.count));
    const segment = new Uint32Array(lanes), index = new Uint32Array(lanes);
    for (let lane = 0, s = 0; lane < lanes; lane++) {
      const at = lane * group.steps;
      while (at >= ends[s]) s++;
      segment[lane] = s;
      index[lane] = at - (ends[s] - group.segments[s].count);
    }
    return { segment, index };
  }

  decode(group, plane, place) {
    const { count, steps, segments } = group, lanes = Math.ceil(count / steps), whole = count - (lanes - 1) * steps;
    const model = new ArrayModel(plane, count), { bits, size } = model, mask = 2 ** bits - 1;
    const mean = new Int32Array(lanes).fill(plane.mean);
    const before = new Int32Array(lanes * TAPS); // the last values of each lane, the latest first, around the centre
    const sums = new Float64Array(plane.period), { segment, index } = this.cursors(group, lanes), state = this.state;
    let seen = 0, due = 0;
    for (let step = 0; step < steps; step++) {
      const active = step < whole ? lanes : lanes - 1;
      if (seen >= due) {
        due = Math.max(256, seen + Math.min(this.seldom ? seen : Math.floor(seen / 2), 2 ** 18));
        model.rebuild();
      }
      const column = step % (plane.period || 1), level = this.columnLevel(plane, sums[column], lanes, step);
      let total = 0;
      for (let lane = 0; lane < active; lane++) {
        const s = segments[segment[lane]], i = index[lane], rows = s.columns ? s.count / s.columns : 0;
        const element = rows ? (i % rows) * s.columns + Math.floor(i / rows) : i;
        const target = s.offset + s.width * element + place;
        let context = 0;
        const past = lane * TAPS;
        if (plane.kind === MEAN || plane.kind === PREDICTED) context = levelOf(mean[lane]);
        else if (plane.kind === SIGNED) context = (levelOf(mean[lane]) >> 3) * 13 + signedClass((3 * before[past] + before[past + 1]) >> 2);
        else if (plane.kind === COLUMN) context = (levelOf(mean[lane]) >> 2) * 8 + level;
        else if (plane.kind === PLANE) context = this.output[target + 1] & 15;
        const slot = state[lane] & mask, symbol = model.symbols[(context << bits) + slot], at = context * 256 + symbol;
        let x = model.frequencies[at] * (state[lane] >>> bits) + slot - model.starts[at];
        if (x < LEAST_STATE) x = x * 65536 + this.word();
        state[lane] = x;
        const value = plane.taps ? (symbol + predicted(plane.taps, before, past)) & 255 : symbol;
        this.output[target] = value;
        model.counts[context * CLASSES + model.classOf[symbol]]++;
        model.seen[symbol]++;
        mean[lane] += (size[symbol] << (10 - plane.decay)) - (mean[lane] >> plane.decay);
        for (let i = past + TAPS - 1; i > past; i--) before[i] = before[i - 1];
        before[past] = ((value - plane.centre + 128) & 255) - 128;
        total += size[symbol];
        if (++index[lane] === s.count) {
          segment[lane]++;
          index[lane] = 0;
        }
      }
      if (plane.period) sums[column] += total;
      seen += active;
    }
  }

  columnLevel(plane, sum, lanes, step) {
    if (plane.kind !== COLUMN || step < plane.period) return 7;
    const mean = Math.floor((sum * 1024) / (lanes * Math.floor(step / plane.period)));
    return Math.min(6, levelOf(Math.min(mean, 131072)) >> 2);
  }

  word() {
    expect(this.position + 2 <= this.data.length, "its arrays end too early");
    this.position += 2;
    return this.data[this.position - 2] | (this.data[this.position - 1] << 8);
  }

  finished() {
    return this.position === this.data.length && this.state.every((x) => x === LEAST_STATE);
  }
}

function restore(output, group, segment) {
  const view = new DataView(output.buffer, output.byteOffset), { width } = group;
  for (let i = 0; i < segment.count; i++) {
    const at = segment.offset + i * width;
    if (group.transform === 2) {
      const product = Math.fround(segment.factor * view.getFloat32(segment.source + 4 * i, true));
      const before = view.getUint32(at, true);
      view.setFloat32(at, product, true);
      view.setUint32(at, (before + view.getUint32(at, true)) >>> 0, true);
      continue;
    }
    let carry = output[at] & 1; // the sign goes from the lowest bit back to the highest
    for (let k = width - 1; k >= 0; k--) {
      const byte = output[at + k];
      output[at + k] = (byte >> 1) | (carry << 7);
      carry = byte & 1;
    }
  }
}

function crc32(data) {
  const table = Uint32Array.from({ length: 256 }, (_, n) => {
    for (let k = 0; k < 8; k++) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1;
    return n >>> 0;
  });
  let crc = 0xffffffff;
  for (let i = 0; i < data.length; i++) crc = (crc >>> 8) ^ table[(crc ^ data[i]) & 255];
  return ~crc >>> 0;
}

// The directory, and a function that gives the bytes of the rest one after the other.
function startRest(coded, header) {
  if (header.version === QUICK) {
    let at = Math.ceil(header.directory / 4) * 4;
    const whole = new Lzma(coded, at + header.rest).decode();
    return { listed: whole.subarray(0, header.directory), next: () => whole[at++] };
  }
  const primer = Uint8Array.from(atob(PRIMER), (c) => c.charCodeAt(0));
  const model = new ByteModel(coded, header.tableBits, primer.length + header.directory + header.rest);
  model.learn(primer);
  const listed = new Uint8Array(header.directory);
  for (let i = 0; i < listed.length; i++) listed[i] = model.byte(i & 3);
  return { listed, next: (phase) => model.byte(phase) };
}

function unpackTfcz(data, { maxBytes = MOST_BYTES } = {}) {
  const header = readHeader(data);
  if (header.size > Math.min(maxBytes, MOST_BYTES)) throw new Error(`a .tfcz of a file of ${header.size} bytes, more than allowed`);
  const behind = header.begin + header.coded;
  const { listed, next } = startRest(data.subarray(header.begin, behind), header);
  const { groups, segments } = readDirectory(listed, header);
  const output = new Uint8Array(header.size);
  let at = 0;
  for (const segment of [...segments, { offset: header.size, count: 0, width: 1 }]) {
    for (; at < segment.offset; at++) output[at] = next(at & 3);
    at += segment.count * segment.width;
  }
  const arrays = new Arrays(data.subarray(behind), header.lanes, output, header.version === QUICK);
  for (const group of groups) {
    group.planes.forEach((plane, i) => {
      const place = group.width - 1 - i;
      if (plane.kind !== CONSTANT) arrays.decode(group, plane, place);
      else {
        for (const s of group.segments) {
          for (let k = 0; k < s.count; k++) output[s.offset + k * s.width + place] = plane.centre;
        }
      }
    });
    if (group.transform) for (const segment of group.segments) restore(output, group, segment);
  }
  expect(arrays.finished() && crc32(output) === header.checksum, "the unpacked file has another checksum");
  return output;
}

if (typeof module !== "undefined") module.exports = { readHeader, unpackTfcz };
