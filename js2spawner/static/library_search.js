// Finds a package in the lists of all images, as the hub does where there are no scripts (library_search.py).

const FOUND_AT_MOST = 60;
const ASKED_AT_MOST = 100;

/** {hits: [{kind, name, places: [{image, title, version, licence}]}], more, sentence} for what somebody typed. */
export function search(images, asked) {
  const words = [...asked].slice(0, ASKED_AT_MOST).join("").split(/\s+/).filter(Boolean).map(alike);
  if (words.length === 0) return { hits: [], more: 0, sentence: "" };
  const hits = hitsOf(images, words);
  const whole = words.join("-");
  const keys = new Map(hits.map((hit) => [hit, [nearness(alike(hit.name), whole), alike(hit.name), hit.kind, hit.name]]));
  hits.sort((one, other) => compare(keys.get(one), keys.get(other)));
  const more = Math.max(0, hits.length - FOUND_AT_MOST);
  return { hits: hits.slice(0, FOUND_AT_MOST), more, sentence: sentenceOf(hits, images.length) };
}

function hitsOf(images, words) {
  const found = new Map();
  for (const image of images) {
    for (const { kind, name, version, licence } of image.packages) {
      const compared = alike(name);
      if (!words.every((word) => compared.includes(word))) continue;
      const key = `${kind} ${name}`;
      if (!found.has(key)) found.set(key, { kind, name, places: [] });
      found.get(key).places.push({ image: image.name, title: image.title, version, licence });
    }
  }
  return [...found.values()];
}

/** How names are compared: as PyPI does (PEP 503). */
function alike(name) {
  return name.toLowerCase().replace(/[-_.]+/g, "-");
}

function nearness(name, whole) {
  if (name === whole) return 0;
  if (name.startsWith(whole)) return 1;
  return `-${name}-`.includes(`-${whole}-`) ? 2 : 3;
}

function compare(one, other) {
  const at = one.findIndex((part, index) => part !== other[index]);
  if (at < 0) return 0;
  return one[at] < other[at] ? -1 : 1;
}

function sentenceOf(hits, images) {
  if (hits.length === 0) return "No list of packages here has a name like this.";
  if (hits.length > 1) return `${hits.length} packages have a name like this.`;
  const inImages = new Set(hits[0].places.map((place) => place.image)).size;
  return `${hits[0].name} is in ${inImages} of ${images} ${images === 1 ? "image" : "images"}.`;
}
