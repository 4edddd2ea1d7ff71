// One player for all cards: the sounds of a card run together, and one of them is heard.
// A page says with `bytes(sound)` how the file of a sound is had.
const player = { context: null, card: null, sources: [], gains: {}, start: 0, seconds: 0 };

async function decode(moment) {
  player.context ??= new AudioContext();
  moment.buffers ??= Object.fromEntries(await Promise.all(Object.entries(moment.sounds).map(
    async ([name, sound]) => [name, await player.context.decodeAudioData(await bytes(sound))])));
  await player.context.resume();
}

function stop() {
  for (const source of player.sources) { source.onended = null; source.stop(); }
  player.sources = [];
  if (player.card) {
    player.card.dataset.playing = "false";
    player.card.querySelector(".play").textContent = "Play";
  }
  player.card = null;
}

// Play from a place in seconds. A moment that is `whole` ends with its sounds, others go round.
async function play(card, moment, place = 0) {
  stop();
  await decode(moment);
  stop(); // what was begun while this one was decoded
  player.card = card;
  player.gains = {};
  const at = player.context.currentTime + 0.03;
  for (const [name, buffer] of Object.entries(moment.buffers)) {
    const source = new AudioBufferSourceNode(player.context, { buffer, loop: !moment.whole });
    const gain = new GainNode(player.context, { gain: name === card.dataset.sound ? 1 : 0 });
    source.connect(gain).connect(player.context.destination);
    source.start(at, place);
    player.sources.push(source);
    player.gains[name] = gain;
  }
  player.start = at - place;
  player.seconds = moment.seconds;
  player.sources[0].onended = () => { stop(); mark(card, 0, moment.seconds); };
  card.dataset.playing = "true";
  card.querySelector(".play").textContent = moment.whole ? "Pause" : "Stop";
  requestAnimationFrame(follow);
}

function follow() {
  if (!player.card) return;
  const passed = Math.max(0, player.context.currentTime - player.start); // it starts a little later
  mark(player.card, passed % player.seconds, player.seconds);
  requestAnimationFrame(follow);
}

// Show the place of a card.
function mark(card, place, seconds) {
  card.dataset.time = place.toFixed(2);
  card.querySelectorAll(".head").forEach((h) => { h.style.left = `${(100 * place) / seconds}%`; });
  card.querySelectorAll(".clock").forEach((c) => { c.textContent = clock(place); });
}

const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;

function choose(card, name) {
  card.dataset.sound = name;
  card.querySelectorAll("button[data-name]").forEach((b) => b.setAttribute("aria-pressed", b.dataset.name === name));
  if (player.card !== card) return;
  for (const [key, gain] of Object.entries(player.gains)) gain.gain.setTargetAtTime(key === name ? 1 : 0, player.context.currentTime, 0.01);
}
