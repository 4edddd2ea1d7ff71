const card = by("card");
const moment = { whole: true, seconds: data.seconds, sounds: Object.fromEntries(data.sounds.map((s) => [s.name, s.sound])) };
let busy = false;

async function bytes(sound) {
  const answer = await fetch(sound);
  if (!answer.ok) throw new Error("these stems are no longer kept; separate the file once more");
  return answer.arrayBuffer();
}

const place = () => Number(card.dataset.time);

async function begin(from) {
  if (busy) return;
  busy = true;
  card.querySelector(".play").textContent = "Loading …";
  try {
    await play(card, moment, from);
  } catch (error) {
    card.querySelector(".play").textContent = "Play";
    by("fault").textContent = error.message;
  }
  busy = false;
}

const toggle = () => (player.card ? stop() : begin(place()));

function seek(event) {
  const box = event.currentTarget.getBoundingClientRect();
  const wanted = Math.min(0.999, Math.max(0, (event.clientX - box.left) / box.width)) * moment.seconds;
  if (player.card) begin(wanted);
  else mark(card, wanted, moment.seconds);
}

function waveform(sound, index) {
  const svg = draw("svg", { viewBox: `0 -1 ${sound.envelope.length} 2`, preserveAspectRatio: "none", role: "img", "aria-label": `waveform of ${sound.name}` });
  const points = (k) => sound.envelope.map((pair, x) => `${x + 0.5} ${(-pair[k] / loudest).toFixed(3)}`);
  svg.append(draw("path", { d: `M${[...points(1), ...points(0).reverse()].join("L")}Z`, fill: colour(index), stroke: colour(index) }));
  return svg;
}

const loudest = Math.max(0.001, ...data.sounds.flatMap((s) => s.envelope.flat().map(Math.abs)));

function row(sound, index) {
  const heard = make("button", { type: "button", "data-name": sound.name, title: `key ${index + 1}`, onclick: () => choose(card, sound.name) }, `${index + 1} ${sound.name}`);
  const saved = sound.download ? [make("a", { href: sound.download, download: sound.saved, class: "save" }, "Download")] : [];
  const pictures = make("div", { class: "pictures", onclick: seek }, waveform(sound, index),
    make("img", { src: `data:image/png;base64,${sound.picture}`, alt: `spectrogram of ${sound.name}`, draggable: "false" }), make("i", { class: "head" }));
  return make("div", { class: "row" }, make("div", { class: "label" }, heard, ...saved), pictures);
}

by("length").textContent = clock(moment.seconds);
by("rows").append(...data.sounds.map(row));
choose(card, data.sounds[0].name);
card.querySelector(".play").addEventListener("click", toggle);
document.addEventListener("keydown", (event) => {
  const sound = data.sounds[Number(event.key) - 1];
  if (sound) choose(card, sound.name);
  if (event.key === " " && event.target === document.body) { event.preventDefault(); toggle(); }
});

const frame = window.frameElement; // of the page around this one
if (frame) {
  document.documentElement.classList.add("framed");
  new ResizeObserver(() => { frame.style.height = `${document.documentElement.offsetHeight}px`; }).observe(document.body);
}
