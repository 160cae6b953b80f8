// An exported explainer: what its file tells of itself, pixels in, logits and a map out. No page in here.
import * as ort from "./ort/ort.wasm.bundle.min.mjs";

// Threads need memory that they share, which a browser gives to pages isolated from other origins only (serve.py).
ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency, 8) : 1;
export const threads = ort.env.wasm.numThreads;

export async function open(bytes) {
  const told = metadata(bytes);
  if (!told.funcam) throw new Error("this .onnx file is no explainer: write one with `funcam export`");
  const session = await ort.InferenceSession.create(bytes);
  const [images] = session.inputMetadata;
  const asPixels = images.name === "pixels";
  const [height, width] = asPixels ? images.shape.slice(1, 3) : images.shape.slice(2);
  if (!asPixels && (!told.mean || images.shape[1] !== 3 || images.type !== "float32")) {
    throw new Error("this explainer does not say how pictures are normalised: write it with --with-preprocessing");
  }
  return {
    told, height, width,
    names: JSON.parse(told.classes ?? "[]"),
    asks: ["input", "all"].includes(told.explains), // whether any class can be explained
    // rgba: of a picture of that size; wanted: the class to explain, null for the predicted one
    async explain(rgba, wanted = null) {
      const feed = { [images.name]: asPixels ? pixelsOf(rgba, height, width) : imageOf(rgba, height, width, told) };
      if (told.explains === "input") feed.target = target(wanted ?? 0);
      let out = await session.run(feed);
      const best = argmax(out.logits.data);
      if (told.explains === "input" && wanted === null) out = await session.run({ ...feed, target: target(best) });
      const explained = told.explains === "all" ? wanted ?? best : Number(out.class.data[0]);
      const [rows, columns] = out.map.dims.slice(-2);
      const first = told.explains === "all" ? explained * rows * columns : 0;
      const map = out.map.data.slice(first, first + rows * columns);
      return { probabilities: softmax(out.logits.data), explained, map, rows, columns };
    },
    close: () => session.release(),
  };
}

const target = (index) => new ort.Tensor("int64", [BigInt(index)], [1]);

function pixelsOf(rgba, height, width) {
  const values = new Uint8Array(3 * height * width);
  for (let from = 0, to = 0; from < rgba.length; from += 4) {
    for (let channel = 0; channel < 3; channel++) values[to++] = rgba[from + channel];
  }
  return new ort.Tensor("uint8", values, [1, height, width, 3]);
}

function imageOf(rgba, height, width, told) {
  const [mean, std] = [JSON.parse(told.mean), JSON.parse(told.std)];
  const values = new Float32Array(3 * height * width);
  for (let place = 0; place < height * width; place++) {
    for (let channel = 0; channel < 3; channel++) {
      values[channel * height * width + place] = (rgba[4 * place + channel] / 255 - mean[channel]) / std[channel];
    }
  }
  return new ort.Tensor("float32", values, [1, 3, height, width]);
}

const argmax = (values) => values.reduce((best, value, index) => (value > values[best] ? index : best), 0);

function softmax(logits) {
  const largest = logits[argmax(logits)];
  const powers = Float64Array.from(logits, (value) => Math.exp(value - largest));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((value) => value / sum);
}

// onnxruntime-web does not show a file's own words: field 14 of a ModelProto, pairs of texts (fields 1 and 2).
function metadata(bytes) {
  const told = {};
  for (const [field, pair] of fields(bytes)) {
    if (field !== 14) continue;
    const { 1: key, 2: value } = Object.fromEntries(fields(pair));
    told[new TextDecoder().decode(key)] = new TextDecoder().decode(value);
  }
  return told;
}

function* fields(bytes) {
  let at = 0;
  const number = () => {
    let value = 0;
    for (let scale = 1; at < bytes.length; scale *= 128) {
      const byte = bytes[at++];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
    throw new Error("this is no .onnx file");
  };
  while (at < bytes.length) {
    const key = number();
    const [field, kind] = [Math.floor(key / 8), key % 8];
    if (kind === 0) number();
    else if (kind === 2) {
      const length = number();
      yield [field, bytes.subarray(at, at + length)];
      at += length;
    } else throw new Error("this is no .onnx file");
  }
}
