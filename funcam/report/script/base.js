// What everything else stands on: the data, elements, numbers, and what is shown.

const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);

/** An element with properties and children; a child that is text stays text, whatever it says. */
function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element && name !== "style") element[name] = value;
    else if (value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Three places, or one where the figures are percentages or larger; whole numbers as they are; a true minus sign. */
function figure(value, large = Math.abs(value) >= 10, whole = true) {
  if (value === null || value === undefined) return "n/a";
  if (whole && Number.isInteger(value)) return String(value).replace("-", "\u2212");
  return value.toFixed(large ? 1 : 3).replace("-", "\u2212");
}
/** A metric's value in the unit that its heading names. */
function inUnit(metric, value) {
  if (metrics.get(metric)?.percent && isNumber(value)) return figure(100 * value, true, false);
  return figure(value, Math.abs(value) >= 10, false);
}
const percent = (share) => (share === null || share === undefined ? "" : `${(100 * share).toFixed(1)} %`);
/** A name without its middle where it is long: the beginning tells what it is, the end which one. */
function middle(name, most = 34) {
  return name.length > most ? `${name.slice(0, most >> 1)}\u2026${name.slice(-((most >> 1) - 1))}` : name;
}
const isNumber = (value) => typeof value === "number";
const distinct = (values) => [...new Set(values)];

/** Options of a select from [value, text]; the select is hidden where there is no choice. */
function fill(select, options, chosen, holder = select) {
  select.replaceChildren(...options.map(([value, text]) => new Option(text, value, false, value === chosen)));
  holder.hidden = options.length < 2;
}

/** Buttons of which one is pressed. */
function segments(holder, options, chosen, choose) {
  const press = (value) => {
    for (const button of holder.children) button.setAttribute("aria-pressed", button.value === value);
  };
  holder.replaceChildren(...options.map(([value, text]) =>
    el("button", { type: "button", value, textContent: text, onclick: () => { press(value); choose(value); } })));
  press(chosen);
  holder.hidden = options.length < 2;
  return press;
}

const nets = new Map(data.nets.map((net) => [net.label, net]));
const methods = new Map(data.methods.map((method) => [method.name, method]));
// Baselines have figures and no maps: there is nothing of them to switch to.
const withMaps = new Set(data.images.flatMap((image) => image.explained.flatMap((each) => each.maps.map((map) => map.method))));
const drawn = data.methods.filter((method) => withMaps.has(method.name));
const metrics = new Map(data.metrics.map((metric) => [metric.name, metric]));
const methodTitle = (name) => methods.get(name)?.title ?? name;
const metricTitle = (name) => (metrics.get(name)?.title ?? name) + (metrics.get(name)?.percent ? " (%)" : "");
/** One image's value: in the metric's unit, else whole where it is hit or missed. */
const ofImage = (name, value) => (metrics.get(name)?.percent ? inUnit(name, value) : figure(value));
const methodColour = (name) => `var(--m${Math.max(0, [...methods.keys()].indexOf(name)) % 8})`;
const SUBSETS = { all: "All images", single: "Single object", multiple: "Multiple objects" };
const subsetTitle = (name) => SUBSETS[name] ?? name;

const explainedNets = distinct(data.images.flatMap((image) => image.explained.map((each) => each.net)));
const netChoices = [...nets.keys()].filter((label) => explainedNets.includes(label));

/** The layers of a network's maps, its default layer first. */
const layersOf = new Map(netChoices.map((label) => {
  const all = data.images.flatMap((image) => image.explained.filter((each) => each.net === label)
    .flatMap((each) => each.maps.map((map) => map.layer)));
  const layers = distinct(all).filter((layer) => layer);
  const first = nets.get(label).layer;
  return [label, layers.includes(first) ? [first, ...layers.filter((layer) => layer !== first)] : layers];
}));

/** What all cards show, unless one was told otherwise. */
const shown = {
  net: netChoices[0],
  method: drawn[0]?.name,
  layer: layersOf.get(netChoices[0])?.[0] ?? "",
  blend: data.alpha,
  colormap: data.colormap || Object.keys(data.colormaps)[0],
  boxes: true,
  contour: false,
  level: 0.5,
};

/** The map of a method at a layer; a method without a layer of its own has one map, whatever the layer. */
function mapOf(explained, layer, method) {
  const own = (explained?.maps ?? []).filter((map) => map.method === method);
  const free = methods.get(method)?.kind === "pixels" ? own[0] : undefined;
  return own.find((map) => map.layer === layer) ?? own.find((map) => !map.layer) ?? free;
}
