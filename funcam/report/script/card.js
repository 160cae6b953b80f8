// One image with one map: a slider, switches, what the network says, the metrics, the curves.

/** What a card or a sheet of an image has of its own; where it has nothing, it shows what all show. */
class Entry {
  constructor(image, number) {
    Object.assign(this, { image, number, own: {}, near: false, root: null });
  }

  get(key) {
    return this.own[key] ?? shown[key];
  }

  /** The explained class of a network: the one that was chosen, or its first. */
  explained(net = this.get("net")) {
    const all = this.image.explained.filter((each) => each.net === net);
    return all.find((each) => each.class_index === this.own.classIndex) ?? all[0];
  }

  /** The layer that is shown: one of the network's, or its default. */
  layer(net = this.get("net")) {
    const layers = layersOf.get(net) ?? [];
    const chosen = this.own.layer ?? (shown.net === net ? shown.layer : undefined);
    return layers.includes(chosen) ? chosen : (layers[0] ?? "");
  }

  map() {
    return mapOf(this.explained(), this.layer(), this.get("method"));
  }

  value(metric) {
    return this.map()?.metrics?.[metric];
  }

  way() {
    return { ...shown, blend: this.get("blend") };
  }

  /** The classes that can be chosen. */
  classes() {
    const all = this.image.explained.map((each) => [each.class_index, each.class_name]);
    return [...new Map(all)].map(([index, name]) => [String(index), name]);
  }

  head() {
    return el("header", {}, el("h3", { textContent: middle(this.image.file), title: this.image.file, id: `${this.kind}-${this.number}` }),
      this.image.subset ? el("span", { className: "badge", textContent: this.image.subset }) : null);
  }

  shell(className) {
    const root = el("article", { className, tabIndex: -1, "aria-labelledby": `${this.kind}-${this.number}` }, this.head());
    root.entry = this;
    return root;
  }
}

class Card extends Entry {
  kind = "card";

  makeShell() {
    this.root = this.shell("card");
    return this.root;
  }

  /** The card's inside, made when it first comes near the view. */
  build() {
    this.frame = new Frame(this.image);
    this.slider = el("input", { type: "range", min: 0, max: 100, "aria-label": `Blend of image and map, ${this.image.file}` });
    this.slider.oninput = () => { this.own.blend = this.slider.value / 100; this.drawMap(); };
    this.switches = Object.fromEntries(["net", "classIndex", "method", "layer"].map((key) => [key, this.makeSwitch(key)]));
    this.said = el("p", { className: "said" });
    this.numbers = el("dl", { className: "numbers" });
    this.curves = el("div");
    this.root.append(this.frame.root, el("div", { className: "inside" },
      el("label", { className: "blend" }, "Image", this.slider, "Map"),
      el("div", { className: "switches" }, ...Object.values(this.switches)), this.said, this.numbers, this.curves));
    this.root.style.minHeight = "0";
  }

  makeSwitch(key) {
    const names = { net: "Network", classIndex: "Class", method: "Method", layer: "Layer" };
    const select = el("select", { name: key, "aria-label": `${names[key]}, ${this.image.file}` });
    select.onchange = () => {
      this.own[key] = key === "classIndex" ? Number(select.value) : select.value;
      this.draw();
    };
    return select;
  }

  draw() {
    if (!this.near) return;
    if (!this.frame) this.build();
    const net = this.get("net");
    fill(this.switches.net, netChoices.map((label) => [label, label]), net);
    fill(this.switches.classIndex, this.classes(), String(this.explained()?.class_index));
    fill(this.switches.method, drawn.map((method) => [method.name, method.title]), this.get("method"));
    fill(this.switches.layer, (layersOf.get(net) ?? []).map((layer) => [layer, layer]), this.layer());
    this.drawSaid();
    this.drawNumbers();
    const map = this.map();
    this.curves.replaceChildren(...(Object.keys(map?.curves ?? {}).length ? [curvesFigure(map)] : []));
    this.drawMap();
  }

  drawMap() {
    const [map, explained, method] = [this.map(), this.explained(), methodTitle(this.get("method"))];
    this.slider.value = 100 * this.get("blend");
    const of = explained ? `${explained.class_name}, by ${explained.net}` : this.get("net");
    const where = map?.layer ? ` at ${map.layer}` : "";
    const missing = this.image.explained.length ? `No ${method} of ${of}` : "";
    this.frame.show(map, this.way(), map ? `${method} of ${of}${where}, on ${this.image.file}` : missing);
  }

  drawSaid() {
    const explained = this.explained();
    if (!explained) {
      this.said.replaceChildren();
      return;
    }
    const same = explained.predicted_name === explained.class_name;
    const parts = [el("b", { textContent: explained.class_name }), ` ${percent(explained.probability)}`];
    if (!same) parts.push(el("span", { className: "soft", textContent: ` \u00b7 predicted ${explained.predicted_name} ${percent(explained.predicted_probability)}` }));
    this.said.replaceChildren(...parts);
  }

  drawNumbers() {
    const values = this.map()?.metrics ?? {};
    const names = data.metrics.map((metric) => metric.name).filter((name) => isNumber(values[name]));
    this.numbers.replaceChildren(...names.map((name) => el("div", { className: name === order.by ? "sorted" : "" },
      el("dt", { textContent: metricTitle(name), title: metricTitle(name) }), el("dd", { textContent: ofImage(name, values[name]) }))));
  }

  rest() {
    this.frame?.rest();
  }
}
