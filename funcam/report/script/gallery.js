// All images: which are shown, in which order and form; drawn when they come near the view.

const order = { by: "given", descending: true };
const find = { subset: "", text: "" };
const views = { cards: Card, sheets: Sheet };
const entries = {}; // by view, made when the view is first asked for
let view = "cards";
let current = 0; // Where the arrow keys are, among the visible.

const watcher = new IntersectionObserver((changes) => {
  for (const { target, isIntersecting } of changes) {
    target.entry.near = isIntersecting;
    if (isIntersecting) target.entry.draw();
    else target.entry.rest();
  }
}, { rootMargin: "700px 0px" });

const visible = () => [...byId("cards").children].filter((card) => !card.hidden);
const imageMetrics = data.metrics.filter((metric) => metric.per_image
  && data.images.some((image) => image.explained.some((each) => each.maps.some((map) => isNumber(map.metrics?.[metric.name])))));

/** The cards or sheets of the view, in the order of the report. */
function entriesNow() {
  entries[view] ??= data.images.map((image, number) => {
    const entry = new views[view](image, number);
    entry.makeShell();
    return entry;
  });
  return entries[view];
}

function sortValue(entry) {
  if (order.by === "given") return -entry.number;
  if (order.by === "file") return entry.image.file;
  if (order.by === "probability") return entry.explained()?.probability;
  return entry.value(order.by);
}

/** Entries in order; those without a value come last, whatever the order. */
function sorted(list) {
  const known = (value) => isNumber(value) || typeof value === "string";
  const keyed = list.map((entry) => [sortValue(entry), entry]);
  const compare = (a, b) => (typeof a === "string" ? b.localeCompare(a, undefined, { numeric: true }) : b - a);
  const ranked = keyed.filter(([value]) => known(value))
    .sort(([a, x], [b, y]) => (order.descending ? compare(a, b) : compare(b, a)) || x.number - y.number);
  return [...ranked, ...keyed.filter(([value]) => !known(value))].map(([, entry]) => entry);
}

function arrange() {
  const list = sorted(entriesNow());
  const text = find.text.trim().toLowerCase();
  for (const { image, root } of list) {
    root.hidden = !((!find.subset || image.subset === find.subset) && image.file.toLowerCase().includes(text));
  }
  const cards = byId("cards");
  cards.classList.toggle("sheets", view === "sheets");
  cards.replaceChildren(...list.map((entry) => entry.root));
  const count = visible().length;
  byId("count").textContent = count === list.length ? `${count} image${count === 1 ? "" : "s"}` : `${count} of ${list.length} images`;
  current = 0;
  visible().forEach((card, i) => { card.tabIndex = i ? -1 : 0; });
}

const wanted = new Set();
/** Draw again what is near the view, all of it or the maps alone, once before the next picture on the screen. */
function redraw(part = "draw") {
  if (!wanted.size) requestAnimationFrame(redrawNow);
  wanted.add(part);
}

function redrawNow() {
  const part = wanted.has("draw") ? "draw" : "drawMap";
  wanted.clear();
  for (const entry of entriesNow()) if (entry.near) entry[part]();
  for (const entry of extremes) entry.drawMap();
}

/** Set something for all images; what single cards had of their own in its place is forgotten. */
function setShown(key, value) {
  shown[key] = value;
  const forgotten = { net: ["net", "layer"], layer: ["layer", "net"], method: ["method"], blend: ["blend"] }[key] ?? [];
  for (const entry of Object.values(entries).flat()) for (const name of forgotten) delete entry.own[name];
  if (key === "net") {
    shown.layer = layersOf.get(value)?.[0] ?? "";
    fillLayers();
  }
  if (["net", "layer", "method"].includes(key)) {
    drawExtremes();
    if (imageMetrics.some((metric) => metric.name === order.by) || order.by === "probability") arrange();
    redraw();
  } else redraw("drawMap");
}

function fillLayers() {
  fill(byId("layer"), (layersOf.get(shown.net) ?? []).map((layer) => [layer, layer]), shown.layer, byId("layer-field"));
}

let extremes = [];
/** Whether an image can be more or less right by a metric, and not only hit or missed. */
const hasDegrees = (metric) => data.images.some((image) => image.explained.some((each) => each.maps.some((map) =>
  isNumber(map.metrics?.[metric.name]) && ![0, 1].includes(map.metrics[metric.name]))));

/** The best and the worst four by the metric that is sorted by, or the first that has degrees. */
function drawExtremes() {
  const metric = imageMetrics.find((each) => each.name === order.by) ?? imageMetrics.find(hasDegrees) ?? imageMetrics[0];
  const holder = byId("extremes");
  extremes = [];
  if (!metric) return;
  const values = data.images.map((image, number) => new Extreme(image, number)).map((entry) => [entry.value(metric.name), entry])
    .filter(([value]) => isNumber(value)).sort(([a], [b]) => better(metric.name) * (b - a));
  const most = Math.min(4, values.length >> 1);
  holder.hidden = byId("first").hidden = !most;
  holder.className = "extremes";
  const strip = (title, some) => el("div", {}, el("h3", { textContent: `${title} by ${metricTitle(metric.name)}` }),
    el("ul", {}, ...some.map(([value, entry]) => el("li", {}, entry.make(ofImage(metric.name, value))))));
  holder.replaceChildren(strip("Best", values.slice(0, most)), strip("Worst", values.slice(values.length - most).reverse()));
  extremes = most ? [...values.slice(0, most), ...values.slice(-most)].map(([, entry]) => entry) : [];
  redraw("drawMap");
}

/** One of the best or worst: a small frame that leads to its card. */
class Extreme extends Entry {
  make(value) {
    this.frame = new Frame(this.image, 160);
    const button = el("button", { type: "button", className: "small", title: this.image.file },
      this.frame.root, el("span", {}, el("b", { textContent: value }), el("span", { textContent: middle(this.image.file, 26) })));
    button.onclick = () => {
      const card = entriesNow()[this.number].root;
      card.hidden = false;
      goTo(card);
    };
    return button;
  }

  drawMap() {
    this.frame.show(this.map(), this.way(), `${methodTitle(shown.method)} on ${this.image.file}`);
  }
}

function goTo(card) {
  const cards = visible();
  for (const each of cards) each.tabIndex = -1;
  current = Math.max(0, cards.indexOf(card));
  card.tabIndex = 0;
  card.focus({ preventScroll: true });
  card.scrollIntoView({ block: "nearest" });
}

function startGallery() {
  byId("images").hidden = !data.images.length;
  if (!data.images.length) return;
  startSwitches();
  startOrder();
  segments(byId("view"), [["cards", "One map"], ["sheets", "All maps"]], view, setView);
  drawExtremes();
  setView(view);
}

function setView(name) {
  for (const entry of entries[view] ?? []) watcher.unobserve(entry.root);
  for (const entry of entries[view] ?? []) if (entry.near) { entry.near = false; entry.rest(); }
  view = name;
  arrange();
  for (const entry of entriesNow()) watcher.observe(entry.root);
}

let pressMethod = () => {};
function startSwitches() {
  const input = (id, key, value) => { byId(id).oninput = () => setShown(key, value(byId(id))); };
  pressMethod = segments(byId("methods"), drawn.map((method) => [method.name, method.title]), shown.method, (name) => setShown("method", name));
  fill(byId("net"), netChoices.map((label) => [label, label]), shown.net, byId("net-field"));
  fill(byId("colormap"), Object.keys(data.colormaps).map((name) => [name, name]), shown.colormap);
  fillLayers();
  input("net", "net", (select) => select.value);
  input("layer", "layer", (select) => select.value);
  input("colormap", "colormap", (select) => select.value);
  input("blend", "blend", (slider) => slider.value / 100);
  input("contour", "contour", (check) => check.checked);
  byId("blend").value = 100 * shown.blend;
  byId("boxes").oninput = () => {
    shown.boxes = byId("boxes").checked;
    document.body.classList.toggle("no-boxes", !shown.boxes);
  };
  byId("level").oninput = () => {
    byId("level-text").textContent = (byId("level").value / 100).toFixed(2);
    byId("contour").checked = shown.contour = true;
    setShown("level", byId("level").value / 100);
  };
}

function startOrder() {
  const metricOptions = imageMetrics.map((metric) => [metric.name, metric.title]);
  fill(byId("sort"), [["given", "as given"], ["file", "file name"], ["probability", "probability"], ...metricOptions], order.by);
  const subsets = distinct(data.images.map((image) => image.subset)).filter(Boolean);
  fill(byId("subset"), [["", "all images"], ...subsets.map((name) => [name, subsetTitle(name).toLowerCase()])], "", byId("subset-field"));
  byId("subset-field").hidden = subsets.length < 2;
  const drawOrder = () => {
    const words = { given: ["In order", "Reversed"], file: ["Z to A", "A to Z"] }[order.by] ?? ["Highest first", "Lowest first"];
    byId("order").textContent = words[order.descending ? 0 : 1];
  };
  const changed = () => { drawOrder(); arrange(); drawExtremes(); redraw(); };
  byId("sort").oninput = () => {
    order.by = byId("sort").value;
    order.descending = order.by !== "file" && (!metrics.has(order.by) || better(order.by) > 0);
    changed();
  };
  byId("order").onclick = () => { order.descending = !order.descending; changed(); };
  byId("subset").oninput = () => { find.subset = byId("subset").value; arrange(); };
  byId("search").oninput = () => { find.text = byId("search").value; arrange(); };
  drawOrder();
}
