// A frame: an image, a map over it on a canvas, and the boxes. Cards, tables and the best and worst cases are made of it.

/** How many pixels a canvas of an image has, its longer side `longest`. */
function canvasSize(image, longest) {
  const scale = longest / Math.max(image.width, image.height);
  return [Math.max(1, Math.round(image.width * scale)), Math.max(1, Math.round(image.height * scale))];
}

function boxElement(image, { box: [x0, y0, x1, y1], label }) {
  const element = el("div", { className: "box" }, label ? el("span", { textContent: label }) : null);
  const share = (value, whole) => `${(100 * value) / whole}%`;
  element.style.left = share(x0, image.width);
  element.style.top = share(y0, image.height);
  element.style.width = share(x1 - x0, image.width);
  element.style.height = share(y1 - y0, image.height);
  element.classList.toggle("outside", y0 / image.height > 0.09);
  return element;
}

class Frame {
  constructor(image, longest = 320) {
    Object.assign(this, { image, longest, turn: 0, made: null });
    this.photo = el("img", { alt: `The image ${image.file}`, loading: "lazy", decoding: "async", draggable: false });
    this.canvas = el("canvas", { role: "img" });
    this.missing = el("div", { className: "none", hidden: true });
    const frame = el("div", { className: "frame" }, this.photo, this.canvas, this.missing);
    for (const box of image.boxes) frame.append(boxElement(image, box));
    const aspect = image.width / image.height;
    frame.style.aspectRatio = aspect;
    frame.style[aspect >= stageAspect ? "width" : "height"] = "100%";
    this.root = el("div", { className: "stage" }, frame);
  }

  /** Show a map (none: the image alone) in some way: {blend, colormap, contour, level}. */
  async show(map, way, name = "") {
    const turn = ++this.turn;
    if (!this.photo.getAttribute("src")) this.photo.src = this.image.picture;
    this.canvas.setAttribute("aria-label", map ? name : "No map");
    if (map && this.made?.map !== map) {
      const made = await this.make(map).catch(() => null); // A picture beside the page may have been left behind.
      if (turn !== this.turn) return; // Something newer was asked for while this was being decoded.
      this.made = made;
    }
    const drawn = map && this.made;
    this.missing.hidden = Boolean(drawn) || !name;
    this.missing.textContent = map ? `The picture of ${name} can't be loaded` : name;
    if (drawn) this.paint(way);
    else this.canvas.width = 0;
  }

  async make(map) {
    const [width, height] = canvasSize(this.image, this.longest);
    if (methods.get(map.method).kind === "pixels") return { map, width, height, picture: await picture(map.values) };
    return { map, width, height, field: upsample(await gridOf(map), width, height) };
  }

  paint(way) {
    const { width, height, field, picture: pixels } = this.made;
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
    if (field) {
      paintField(this.canvas, field, way);
      return;
    }
    const context = this.canvas.getContext("2d");
    context.clearRect(0, 0, width, height);
    context.globalAlpha = way.blend;
    context.drawImage(pixels, 0, 0, width, height);
  }

  /** Give back the memory of what is far from view. */
  rest() {
    this.turn++;
    this.made = null;
    this.canvas.width = 0;
  }
}

/** The aspect of the space for an image: that of the report's images where they agree, within bounds. */
const stageAspect = (() => {
  const aspects = data.images.map((image) => image.width / image.height).sort((a, b) => a - b);
  return Math.min(Math.max(aspects[aspects.length >> 1] ?? 1, 0.8), 1.5);
})();
document.documentElement.style.setProperty("--aspect", stageAspect);
