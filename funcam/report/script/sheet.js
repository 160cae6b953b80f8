// One image with all its maps, in the form of the original's tables: networks down; image, heatmap and overlay of each
// method, and pictures, across.

class Sheet extends Entry {
  kind = "sheet";

  makeShell() {
    this.root = this.shell("sheet");
    return this.root;
  }

  build() {
    this.choice = el("select", { name: "classIndex", "aria-label": `Class, ${this.image.file}` });
    fill(this.choice, this.classes(), String(this.explained(netChoices[0])?.class_index));
    this.choice.onchange = () => { this.own.classIndex = Number(this.choice.value); this.draw(); };
    this.root.firstChild.append(this.choice);
    const used = data.methods.filter((method) =>
      this.image.explained.some((each) => each.maps.some((map) => map.method === method.name)));
    this.columns = used.flatMap((method) => (method.kind === "pixels"
      ? [{ method, title: method.title, blend: 1 }]
      : [{ method, title: `${method.title}, heatmap`, blend: 1 }, { method, title: method.title, blend: null }]));
    this.rows = netChoices.filter((net) => this.image.explained.some((each) => each.net === net)).map((net) => {
      const image = new Frame(this.image, 160);
      return { net, image, said: el("th", { scope: "row" }), frames: this.columns.map(() => new Frame(this.image, 160)) };
    });
    const heads = ["Network", "Image", ...this.columns.map((column) => column.title)];
    const table = el("table", { className: "small" },
      el("thead", {}, el("tr", {}, ...heads.map((text) => el("th", { scope: "col", textContent: text })))),
      el("tbody", {}, ...this.rows.map((row) => el("tr", {}, row.said,
        ...[row.image, ...row.frames].map((frame) => el("td", {}, frame.root))))));
    this.root.append(el("div", { className: "scroller", tabIndex: 0, role: "region", "aria-label": `Maps of ${this.image.file}` }, table));
  }

  draw() {
    if (!this.near) return;
    if (!this.rows) this.build();
    for (const row of this.rows) {
      const explained = this.explained(row.net);
      row.said.replaceChildren(row.net, el("span", { className: "interval", textContent: explained ? `${explained.class_name} ${percent(explained.probability)}` : "" }));
    }
    this.drawMap();
  }

  drawMap() {
    for (const { net, image, frames } of this.rows) {
      image.show(undefined, shown);
      const explained = this.explained(net);
      this.columns.forEach(({ method, title, blend }, i) => {
        const map = mapOf(explained, this.layer(net), method.name);
        const way = { ...this.way(), blend: blend ?? this.get("blend") };
        frames[i].show(map, way, map ? `${title} of ${explained.class_name}, by ${net}, on ${this.image.file}` : "No map");
      });
    }
  }

  rest() {
    for (const row of this.rows ?? []) for (const frame of row.frames) frame.rest();
  }
}
