// Maps: decoded from their small pictures, brought onto the image bilinearly, coloured, and their contours.

const palettes = new Map(Object.entries(data.colormaps).map(([name, text]) =>
  [name, Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))]));
const grids = new WeakMap();

async function picture(address) {
  const image = new Image();
  image.src = address;
  await image.decode();
  return image;
}

/** The cells of a map, 0..1, decoded once: {width, height, cells}. */
function gridOf(map) {
  if (!grids.has(map)) grids.set(map, decodeGrid(map.values));
  return grids.get(map);
}

async function decodeGrid(address) {
  const image = await picture(address);
  const { naturalWidth: width, naturalHeight: height } = image;
  const context = Object.assign(document.createElement("canvas"), { width, height })
    .getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  const pixels = context.getImageData(0, 0, width, height).data;
  return { width, height, cells: Float32Array.from({ length: width * height }, (_, i) => pixels[4 * i] / 255) };
}

/** For each of `count` pixels the two cells that it lies between and its share of the second; cells have centres. */
function taps(count, cells) {
  const [first, second, share] = [new Int32Array(count), new Int32Array(count), new Float32Array(count)];
  for (let i = 0; i < count; i++) {
    const at = Math.min(Math.max(((i + 0.5) * cells) / count - 0.5, 0), cells - 1);
    first[i] = at;
    second[i] = Math.min(first[i] + 1, cells - 1);
    share[i] = at - first[i];
  }
  return { first, second, share };
}

/** A grid on width x height pixels: its rows are mixed first, of which there are fewer cells than pixels. */
function upsample({ width: columns, height: rows, cells }, width, height) {
  const values = new Float32Array(width * height);
  const [across, down, row] = [taps(width, columns), taps(height, rows), new Float32Array(columns)];
  for (let y = 0; y < height; y++) {
    const [top, bottom, share] = [down.first[y] * columns, down.second[y] * columns, down.share[y]];
    for (let i = 0; i < columns; i++) row[i] = cells[top + i] * (1 - share) + cells[bottom + i] * share;
    for (let x = 0, to = y * width; x < width; x++, to++) {
      const left = row[across.first[x]];
      values[to] = left + (row[across.second[x]] - left) * across.share[x];
    }
  }
  return values;
}

/** 256 colours with their opacity: at 0 the image alone, at 1 the map alone, between them the hotter the more it covers. */
function inks(colormap, blend) {
  const palette = palettes.get(colormap);
  const table = new Uint32Array(256);
  const bytes = new Uint8ClampedArray(table.buffer);
  for (let level = 0; level < 256; level++) {
    bytes.set(palette.subarray(3 * level, 3 * level + 3), 4 * level);
    bytes[4 * level + 3] = 255 * blend ** (0.6 + 2.4 * (1 - level / 255));
  }
  return table;
}

function paintField(canvas, field, { blend, colormap, contour, level }) {
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  const pixels = new Uint32Array(image.data.buffer);
  const table = inks(colormap, blend);
  for (let i = 0; i < pixels.length; i++) pixels[i] = table[(field[i] * 255 + 0.5) | 0];
  context.putImageData(image, 0, 0);
  if (contour) drawContour(context, field, level);
}

function drawContour(context, field, level) {
  const path = contourPath(field, context.canvas.width, context.canvas.height, level);
  const width = Math.max(context.canvas.width, context.canvas.height) / 160;
  for (const [colour, times] of [["rgb(0 0 0 / 70%)", 2.2], ["#fff", 1]]) {
    context.strokeStyle = colour;
    context.lineWidth = width * times;
    context.lineCap = "round";
    context.stroke(path);
  }
}

/** Where the field crosses the level: marching squares, two pixels a step. */
function contourPath(field, width, height, level) {
  const path = new Path2D();
  const step = 2;
  for (let y = 0; y + step < height; y += step) {
    for (let x = 0; x + step < width; x += step) {
      const [a, b] = [field[y * width + x], field[y * width + x + step]];
      const [d, c] = [field[(y + step) * width + x], field[(y + step) * width + x + step]];
      if (a > level === b > level && b > level === c > level && c > level === d > level) continue;
      const cuts = crossings(x, y, step, a, b, c, d, level);
      for (let i = 0; i + 1 < cuts.length; i += 2) {
        path.moveTo(...cuts[i]);
        path.lineTo(...cuts[i + 1]);
      }
    }
  }
  return path;
}

/** Where the sides of one square are crossed, clockwise from the top. */
function crossings(x, y, step, a, b, c, d, level) {
  const share = (from, to) => (step * (level - from)) / (to - from);
  const cuts = [];
  if (a > level !== b > level) cuts.push([x + share(a, b), y]);
  if (b > level !== c > level) cuts.push([x + step, y + share(b, c)]);
  if (c > level !== d > level) cuts.push([x + share(d, c), y + step]);
  if (d > level !== a > level) cuts.push([x, y + share(a, d)]);
  return cuts;
}
