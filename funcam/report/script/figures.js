// Small drawings of figures: bars with intervals, differences with intervals, curves.

/** A bar from zero with its interval, in a track that spans low..high. */
function barTrack(result, [low, high], colour) {
  const x = (value) => (100 * (value - low)) / (high - low || 1);
  const [from, to] = [Math.min(x(0), x(result.value)), Math.max(x(0), x(result.value))];
  const bar = svg("rect", { x: from, y: 2, width: Math.max(to - from, 0.3), height: 11, opacity: 0.85 });
  bar.style.fill = colour;
  const track = svg("svg", { viewBox: "0 0 100 15", preserveAspectRatio: "none", "aria-hidden": "true" }, bar);
  if (isNumber(result.low) && isNumber(result.high)) track.append(whisker(x(result.low), x(result.high), 7.5, 3.2));
  return track;
}

function whisker(from, to, y, half) {
  const path = svg("path", {
    d: `M${from} ${y}H${to}M${from} ${y - half}v${2 * half}M${to} ${y - half}v${2 * half}`,
    fill: "none", "stroke-width": 1.5, "vector-effect": "non-scaling-stroke",
  });
  path.style.stroke = "var(--ink)";
  return path;
}

/** A difference and its interval around zero, in a track that spans -reach..reach. */
function differenceTrack(pair, reach) {
  const x = (value) => 50 + (48 * value) / (reach || 1);
  const zero = svg("path", { d: "M50 0V16", "stroke-width": 1, "vector-effect": "non-scaling-stroke" });
  zero.style.stroke = "var(--soft)";
  const track = svg("svg", { viewBox: "0 0 100 16", class: "whisker", "aria-hidden": "true", preserveAspectRatio: "none" }, zero);
  if (isNumber(pair.low) && isNumber(pair.high)) track.append(whisker(x(pair.low), x(pair.high), 8, 3));
  const mark = svg("rect", { x: x(pair.difference) - 1.3, y: 5, width: 2.6, height: 6, rx: 0.8 });
  mark.style.fill = "var(--accent)";
  track.append(mark);
  return track;
}

const CURVES = { insertion: ["var(--m0)", ""], deletion: ["var(--m1)", "4 3"] };

/** A map's curves: the score while pixels come or go, the strongest first; with their areas where no metric says them. */
function curvesFigure({ curves, metrics: known = {} }) {
  const named = Object.entries(curves).filter(([, values]) => values.length > 1);
  const top = Math.max(1e-9, ...named.flatMap(([, values]) => values.filter(isNumber)));
  const most = top <= 1 ? 1 : top;
  const described = (name, values) => (isNumber(known[name]) ? name : `${name}, area ${figure(area(values))}`);
  const lines = named.map(([name, values]) => {
    const points = values.map((value, i) => `${(100 * i) / (values.length - 1)},${40 - (40 * (value ?? 0)) / most}`);
    const line = svg("polyline", {
      points: points.join(" "), fill: "none", "stroke-width": 2, "vector-effect": "non-scaling-stroke",
      "stroke-dasharray": CURVES[name]?.[1] ?? "2 2", "stroke-linejoin": "round",
    });
    line.style.stroke = CURVES[name]?.[0] ?? "var(--m6)";
    return line;
  });
  const axes = svg("path", { d: "M0 0V40H100", fill: "none", "stroke-width": 1, "vector-effect": "non-scaling-stroke" });
  axes.style.stroke = "var(--rule)";
  const legend = named.map(([name, values]) => {
    const key = el("i", { className: CURVES[name]?.[1] ? "dashed" : "" });
    key.style.setProperty("--colour", CURVES[name]?.[0] ?? "var(--m6)");
    return el("span", {}, key, described(name, values));
  });
  const label = `Curves: ${named.map(([name, values]) => described(name, values)).join("; ")}`;
  const drawing = svg("svg", { viewBox: "0 0 100 40", preserveAspectRatio: "none", role: "img", "aria-label": label }, axes, ...lines);
  return el("figure", { className: "curves" }, drawing, el("figcaption", {}, ...legend));
}

/** The area under a curve over 0..1, by trapezoids. */
function area(values) {
  let sum = 0;
  for (let i = 1; i < values.length; i++) sum += (values[i - 1] + values[i]) / 2;
  return sum / (values.length - 1);
}
