// The keyboard, dark and light, and the start.

const KEYS = [
  ["Arrows", "from image to image"], ["1 to 9", "methods"], ["b", "boxes"], ["c", "contour"], ["n", "next network"],
  ["v", "one map or all maps"], ["/", "find a file"], ["Esc", "leave a field"], ["?", "these keys"],
];

function click(element) {
  element.click();
  return true;
}

/** The card in a direction: its neighbour, or the one a row further. */
function neighbour(key) {
  const cards = visible();
  if (!cards.length) return undefined;
  if (!cards[current]?.contains(document.activeElement)) return cards[current] ?? cards[0];
  const columns = Math.max(1, cards.filter((card) => card.offsetTop === cards[0].offsetTop).length);
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[key];
  return cards[Math.min(Math.max(current + steps, 0), cards.length - 1)];
}

function arrow(key) {
  const upright = key === "ArrowUp" || key === "ArrowDown";
  // Up and down scroll the page as ever, until a card is in focus.
  if (upright && !document.activeElement?.closest?.(".card, .sheet")) return false;
  const card = neighbour(key);
  if (card) goTo(card);
  return Boolean(card);
}

function chooseMethod(number) {
  const method = drawn[number - 1];
  if (!method) return false;
  pressMethod(method.name);
  setShown("method", method.name);
  return true;
}

function nextNet() {
  const select = byId("net");
  select.selectedIndex = (select.selectedIndex + 1) % select.options.length;
  select.dispatchEvent(new Event("input"));
  return true;
}

/** Do what a key asks for; whether it asked for anything. */
function press(key) {
  if (key.startsWith("Arrow")) return arrow(key);
  if (/^[1-9]$/.test(key)) return chooseMethod(Number(key));
  if (key === "b") return click(byId("boxes"));
  if (key === "c") return click(byId("contour"));
  if (key === "n" && data.images.length) return nextNet();
  if (key === "v") return click(byId("view").querySelector("[aria-pressed=false]"));
  if (key === "?") { byId("help").showModal(); return true; }
  if (key === "/") { byId("search").focus(); byId("search").select(); return true; }
  return false;
}

function startKeys() {
  byId("help-list").replaceChildren(...KEYS.flatMap(([key, text]) => [el("dt", {}, el("kbd", { textContent: key })), el("dd", { textContent: text })]));
  byId("help-button").onclick = () => byId("help").showModal();
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input:not([type=checkbox]), select, textarea");
    if (event.key === "Escape" && typing) typing.blur();
    if (typing || byId("help").open || event.ctrlKey || event.metaKey || event.altKey) return;
    if (press(event.key)) event.preventDefault();
  });
  byId("cards").addEventListener("focusin", (event) => {
    const card = event.target.closest(".card, .sheet");
    current = Math.max(0, visible().indexOf(card));
  });
}

function startTheme() {
  const dark = () => {
    const chosen = document.documentElement.style.colorScheme;
    return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  };
  const name = () => { byId("theme-button").textContent = dark() ? "Light" : "Dark"; };
  byId("theme-button").onclick = () => {
    document.documentElement.style.colorScheme = dark() ? "light" : "dark";
    name();
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", name);
  name();
}

drawTop();
startTheme();
startResults();
startPairs();
startGallery();
drawMade();
startKeys();
