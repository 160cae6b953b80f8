// The page: pictures that are chosen or dropped, or the webcam's, and what the explainer says of them.
import { open, threads } from "./explainer.js";

const at = (id) => document.getElementById(id);
const [overlay, strength, video, webcam] = ["overlay", "strength", "video", "webcam"].map(at);
const MOST = 5; // classes that are listed

let explainer = null;
let shown = null; // { picture, said }: what is on the canvas
let wanted = null; // a class's index; null for the predicted one
let filming = 0; // which start of the webcam is running; 0 for none
let starts = 0;
let last = Promise.resolve(); // of the runs, which take turns: a session does one at a time

const tell = (text) => (at("status").textContent = text);
const complain = (error) => tell(error.message ?? String(error));
const name = (index) => explainer.names[index] ?? `class ${index}`;

// --- a picture ---------------------------------------------------------------------------------------------------

// The middle of a picture, as large as the network takes it.
function fitted(source, width, height) {
  const canvas = Object.assign(document.createElement("canvas"), explainerSize());
  const scale = Math.min(width / canvas.width, height / canvas.height);
  const [w, h] = [canvas.width * scale, canvas.height * scale];
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.fillStyle = "white"; // below what is transparent
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(source, (width - w) / 2, (height - h) / 2, w, h, 0, 0, canvas.width, canvas.height);
  return canvas;
}

const explainerSize = () => ({ width: explainer.width, height: explainer.height });

const inTurn = (work) => (last = last.catch(() => {}).then(work));

const explain = (picture) => inTurn(async () => {
  const { data } = picture.getContext("2d").getImageData(0, 0, picture.width, picture.height);
  shown = { picture, said: await explainer.explain(data, wanted) };
  draw();
  list();
});

async function explainFile(file) {
  if (file.name.endsWith(".onnx")) return load(new Uint8Array(await file.arrayBuffer()));
  if (!explainer) throw new Error("There is no explainer yet: drop an .onnx file of `funcam export` first.");
  stop();
  const bitmap = await createImageBitmap(file).catch(() => {
    throw new Error(`${file.name} is no picture that this browser reads.`);
  });
  const start = performance.now();
  await explain(fitted(bitmap, bitmap.width, bitmap.height));
  tell(`${file.name}: ${(performance.now() - start).toFixed(0)} ms, ${threaded()}`);
}

const threaded = () => (threads === 1 ? "one thread" : `${threads} threads`);

// --- what is said of it ------------------------------------------------------------------------------------------

// The map as colours, opaque where it is large: small, for the canvas to resize smoothly.
function heatmap({ map, rows, columns }) {
  const image = new ImageData(columns, rows);
  const largest = Math.max(...map);
  map.forEach((value, place) => {
    const heat = largest > 0 ? Math.max(0, value) / largest : 0;
    const tent = (middle) => 255 * Math.min(1, Math.max(0, 1.5 - Math.abs(4 * heat - middle)));
    image.data.set([tent(3), tent(2), tent(1), 255 * heat], 4 * place);
  });
  const canvas = Object.assign(document.createElement("canvas"), { width: columns, height: rows });
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

function draw() {
  const { picture, said } = shown;
  if (overlay.width !== picture.width || overlay.height !== picture.height) {
    [overlay.width, overlay.height] = [picture.width, picture.height];
  }
  const context = overlay.getContext("2d");
  context.globalAlpha = 1;
  context.drawImage(picture, 0, 0);
  context.globalAlpha = strength.value;
  context.imageSmoothingQuality = "high";
  context.drawImage(heatmap(said), 0, 0, overlay.width, overlay.height);
}

function list() {
  const { probabilities, explained } = shown.said;
  const first = Array.from(probabilities.keys()).sort((a, b) => probabilities[b] - probabilities[a]).slice(0, MOST);
  const indices = first.includes(explained) ? first : [...first, explained];
  at("classes").replaceChildren(...indices.map((index) => {
    const share = `${(100 * probabilities[index]).toFixed(1)} %`;
    const button = Object.assign(document.createElement("button"), { type: "button", disabled: !explainer.asks });
    button.dataset.index = index;
    button.setAttribute("aria-pressed", index === explained);
    button.style.setProperty("--share", share.replace(" ", ""));
    button.append(...[name(index), share].map((text) => Object.assign(document.createElement("span"), { textContent: text })));
    const item = document.createElement("li");
    item.append(button);
    return item;
  }));
}

// --- the webcam --------------------------------------------------------------------------------------------------

async function start() {
  const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  video.srcObject = stream;
  await video.play();
  webcam.textContent = "Stop the webcam";
  const mine = (filming = ++starts);
  const done = []; // when the last frames were explained
  while (filming === mine) {
    await explain(fitted(video, video.videoWidth, video.videoHeight));
    done.push(performance.now());
    if (done.length > 30) done.shift();
    const rate = (1000 * (done.length - 1)) / (done.at(-1) - done[0] || 1);
    if (filming === mine) tell(`${rate.toFixed(1)} frames a second, ${threaded()}`);
    await new Promise(requestAnimationFrame);
  }
}

function stop() {
  filming = 0;
  video.srcObject?.getTracks().forEach((track) => track.stop());
  video.srcObject = null;
  webcam.textContent = "Start the webcam";
}

// --- the beginning -----------------------------------------------------------------------------------------------

async function load(bytes) {
  stop();
  const opened = await open(bytes);
  await inTurn(async () => {
    await explainer?.close();
    [explainer, wanted, shown] = [opened, null, null];
    at("classes").replaceChildren();
  });
  webcam.disabled = !navigator.mediaDevices;
  const { method, layer } = explainer.told;
  tell(`Ready: ${method} at ${layer}, ${explainer.width} × ${explainer.height} pixels, ${threaded()}`);
}

at("file").addEventListener("change", ({ target }) => {
  if (target.files.length) explainFile(target.files[0]).catch(complain);
  target.value = ""; // (the same file may be chosen again)
});
at("classes").addEventListener("click", ({ target }) => {
  const index = Number(target.closest("button")?.dataset.index ?? NaN);
  if (Number.isNaN(index)) return;
  wanted = wanted === index ? null : index;
  if (!filming) explain(shown.picture).catch(complain);
});
webcam.addEventListener("click", () => (filming ? stop() : start().catch((error) => (stop(), complain(error)))));
strength.addEventListener("input", () => shown && draw());
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    at("drop").classList.toggle("over", kind === "dragover");
    const [file] = kind === "drop" ? event.dataTransfer.files : [];
    if (file) explainFile(file).catch(complain);
  });
}

const answer = await fetch("explainer.onnx");
if (answer.ok) load(new Uint8Array(await answer.arrayBuffer())).catch(complain);
else tell("There is no explainer.onnx beside this page: write one with `funcam export`, or drop one here.");
