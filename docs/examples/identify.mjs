// Names the speakers of 16-bit WAV clips: node identify.mjs model.onnx clip.wav ...
// Needs: npm install onnxruntime-node. Whatever a clip becomes is computed inside the model file.
import { readFileSync } from "node:fs";
process.env.ORT_DISABLE_TELEMETRY = "1"; // before the import, which else reports to Microsoft
const ort = await import("onnxruntime-node");

// The file's metadata, a JSON object; this API cannot read it, but it stands in the file as it is.
function metadataOf(file) {
  let at = file.lastIndexOf(Buffer.from("\n\x07voxedge\x12", "latin1")) + 10;
  if (at < 10) throw new Error("not a voxedge model");
  let size = 0; // a number of protobuf: 7 bits a byte, the lowest first
  for (let shift = 1; ; shift *= 128) {
    size += (file[at] & 127) * shift;
    if (file[at++] < 128) return JSON.parse(file.toString("utf8", at, at + size));
  }
}

function samplesOf(path, rate) {
  const wav = readFileSync(path);
  const plain = wav.toString("latin1", 36, 40) === "data" && wav.readUInt16LE(20) === 1;
  if (!plain || wav.readUInt16LE(22) !== 1 || wav.readUInt16LE(34) !== 16 || wav.readUInt32LE(24) !== rate)
    throw new Error(`${path} is not a plain 16-bit mono WAV file of ${rate} Hz`);
  const count = Math.floor(Math.min(wav.readUInt32LE(40), wav.length - 44) / 2);
  return Float32Array.from({ length: count }, (_, i) => wav.readInt16LE(44 + 2 * i) / 32768);
}

// The log-odds that the clip is by one of the speakers at all, less those of 5 % of strangers.
function margin(metadata, logits, seconds) {
  const t = metadata.thresholds;
  if (typeof t.accept?.["0.05"] !== "number") return 0; // no threshold: always a name
  const [best, ...others] = [...logits].sort((a, b) => b - a).slice(0, 6);
  const lead = best - others.reduce((sum, value) => sum + value, 0) / others.length;
  const length = Math.log(Math.min(seconds, metadata.window_seconds));
  return t.bias + t.best * best + t.lead * lead + t.log_seconds * length - t.accept["0.05"];
}

const [modelPath, ...clips] = process.argv.slice(2);
const file = readFileSync(modelPath);
const metadata = metadataOf(file);
const session = await ort.InferenceSession.create(file, { logSeverityLevel: 3 });
for (const clip of clips) {
  const samples = samplesOf(clip, metadata.sample_rate);
  const pcm = new ort.Tensor("float32", samples, [1, samples.length]);
  const { logits, probabilities } = await session.run({ pcm }, ["logits", "probabilities"]);
  const best = probabilities.data.indexOf(Math.max(...probabilities.data));
  const known = margin(metadata, logits.data, samples.length / metadata.sample_rate) >= 0;
  console.log(known ? `${metadata.labels[best]} ${probabilities.data[best].toFixed(4)}` : "nobody I know");
}
