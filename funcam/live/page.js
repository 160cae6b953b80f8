// A file that is no picture is told: Gradio drops it without a word.
const tell = (files) => {
  document.querySelector("#wrong")?.remove();
  const wrong = [...(files ?? [])].find((file) => !file.type.startsWith("image/"));
  if (!wrong) return;
  const words = document.createElement("p");
  Object.assign(words, { id: "wrong", className: "problem", role: "alert" });
  const kind = wrong.type ? `is ${wrong.type}` : "has no type that is known";
  words.textContent = `'${wrong.name}' ${kind} and no picture; drop a JPEG, PNG, WebP, or another image file`;
  document.querySelector("#picture").before(words);
};
document.addEventListener("drop", (event) => tell(event.dataTransfer?.files), true);
document.addEventListener("change", (event) => event.target.closest("#picture") && tell(event.target.files), true);

// The maps of a page: a click or an arrow key chooses a cell, and the focus stays where it was when they are drawn anew.
let focused = -1;
const frames = () => [...element.querySelectorAll(".seen")];
const choose = (frame, x, y) => {
  focused = frames().indexOf(frame);
  trigger("click", { x: Math.min(Math.max(x, 0), 0.9999), y: Math.min(Math.max(y, 0), 0.9999) });
};
element.addEventListener("click", (event) => {
  const frame = event.target.closest(".seen");
  if (!frame) return;
  const box = frame.getBoundingClientRect();
  choose(frame, (event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
});
element.addEventListener("keydown", (event) => {
  const frame = event.target.closest(".seen");
  const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1], Enter: [0, 0] }[event.key];
  if (!frame || !step) return;
  event.preventDefault();
  const mark = frame.querySelector("i");
  const box = frame.getBoundingClientRect();
  const at = mark ? mark.getBoundingClientRect() : box;
  const cell = mark ? [at.width / box.width, at.height / box.height] : [0, 0];
  const x = (at.left + at.width / 2 - box.left) / box.width + step[0] * cell[0];
  const y = (at.top + at.height / 2 - box.top) / box.height + step[1] * cell[1];
  choose(frame, x, y);
});
watch("value", () => {
  if (focused >= 0 && document.activeElement === document.body) frames()[focused]?.focus({ preventScroll: true });
});
